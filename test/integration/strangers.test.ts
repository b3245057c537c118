import { expect, test } from "bun:test";
import { DOCKER, sh } from "../support/davit.ts";
import { strangers } from "../support/strangers.ts";

/* Two apps of people who do not know each other, each with a key of its own, on one rack. */

const LONG = 240_000;
const SMALL = "scale: {cpu: 10, memory: 32}";
const web = (more = ""): string => `services:
  web:
    build: .
    port: 3000
    health: {path: /, interval: 1, grace: 2}
    termination: {grace: 1}
    ${SMALL}
${more}`;
/** One more service, of the same image. */
const beside = (name: string, more: string, scale = SMALL): string =>
  `  ${name}:\n    build: .\n    command: /bin/busybox sleep 100000\n    termination: {grace: 1}\n    ${scale}\n${more}`;

test.concurrent(
  "an app takes nothing of the node that the rack did not give it, no name and no network of another's",
  async () => {
    await using apart = await strangers();
    const { rack, admin, keys, deploy, expectSoon, container, inside } = apart;
    const done = await deploy("shop", web("    domain: [a.example.test, Shop.Test]\n"));
    expect(done).toMatchObject({ code: 0, stderr: expect.any(String) });
    for (const host of ["web.shop.apps.test", "a.example.test", "shop.test"])
      await expectSoon(host, "200 shop");

    const written = await deploy(
      "evil",
      web(
        "    domain: [x.test, X.test, '10.0.0.1', 'a.test:80', '*.test', '{env.HOME}']\n    volumes: ['../shop:/x', '/srv/../etc:/y', '/srv:/z:shared', '/srv:/.davit']\n",
      ),
    );
    for (const fault of [
      'domain "x.test" is named twice',
      'domain "10.0.0.1": it is an address',
      'domain "a.test:80": "test:80" is no part of a host name',
      'domain "*.test": a wildcard needs two parts',
      'domain "{env.home}"',
      'volume "../shop:/x": its name is not like',
      'volume "/srv/../etc:/y": its directory is no absolute path',
      'volume "/srv:/z:shared": it is neither',
      'volume "/srv:/.davit": /.davit is davit',
    ])
      expect(written.stderr).toContain(`service web: ${fault}`);

    const wants = await deploy(
      "evil",
      web(
        [
          "    volumes: ['/:/host', '/var/run/docker.sock:/s']\n",
          beside("run", "    volumes: ['/var/run:/run']\n"),
          beside("spy", "    agent: true\n    ports: [8125/udp, 9000]\n"),
          beside("fat", "", "scale: {memory: 0}"),
        ].join(""),
      ),
    );
    expect(wants.code).toBe(1);
    for (const what of [
      "service web mounts / of the host;",
      "service web mounts / of the host, which reaches /run/docker.sock",
      "service web mounts /var/run/docker.sock of the host",
      "service run mounts /var/run of the host",
      "service spy publishes port 8125/udp of the host",
      "service spy publishes port 9000 of the host",
      "service fat has no limit to its memory",
    ])
      expect(wants.stderr).toContain(what);
    const [, hint = ""] = /`davit (rack params set .*)`\n/.exec(wants.stderr) ?? [];
    expect(hint).toMatch(
      /^rack params set HostPaths=\+evil:\/,.* HostPorts=\+evil:8125\/udp,evil:9000 UnlimitedMemory=\+evil$/,
    );
    const asKey = await rack.box.run(["rack", "params", "set", "HostPaths=+/"], { env: keys.evil });
    expect(asKey).toMatchObject({ code: 1, stderr: expect.stringContaining("unauthorized") });

    const names = await deploy(
      "evil",
      web(
        "    domain: [web.shop.apps.test, a.example.test, '*.example.test', shop.test, '*.apps.test', apps.test, '*.shop.apps.test', mine.evil.apps.test]\n",
      ),
    );
    expect(names.code).toBe(1);
    for (const [name, owner] of [
      ...["web.shop.apps.test", "a.example.test", "*.example.test", "shop.test", "*.shop.apps.test"].map(
        (one) => [one, "app shop's"],
      ),
      ...["*.apps.test", "apps.test"].map((one) => [one, "the rack's own"]),
    ])
      expect(names.stderr).toContain(`service web: domain "${name}": it is ${owner}`);
    expect(names.stderr).not.toContain("mine.evil");
    expect(await rack.box.json(["apps", "info", "evil"], { env: keys.evil })).toMatchObject({ release: "" });
    await expectSoon("web.shop.apps.test", "200 shop");

    const good = await deploy("evil", web("    domain: [mine.evil.apps.test, '*.evil.test']\n"));
    expect(good).toMatchObject({ code: 0, stderr: expect.any(String) });
    for (const host of ["web.evil.apps.test", "mine.evil.apps.test", "any.evil.test"])
      await expectSoon(host, "200 evil");

    const [shop, evil] = [await container("shop"), await container("evil")];
    const addresses = (await inside(shop, "ip", "-4", "addr")).match(/(?<=inet )(?!127)[\d.]+/g) ?? [];
    expect(addresses.length).toBeGreaterThan(1);
    const router = (await sh([DOCKER, "ps", "-q", "--filter", `name=${rack.rack}_router`])).trim();
    const ways = (await inside(router, "ip", "-4", "addr")).match(/(?<=inet )(?!127)[\d.]+/g) ?? [];
    const fetchFrom = (address: string, port: number): Promise<string> =>
      inside(
        evil,
        "sh",
        "-c",
        `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc -w 2 ${address} ${port}`,
      );
    const [own = ""] = (await inside(evil, "ip", "-4", "addr")).match(/(?<=inet )(?!127)[\d.]+/g) ?? [];
    expect(await fetchFrom(own, 3000)).toMatch(/200 OK[\s\S]*evil/);
    for (const address of addresses) expect(await fetchFrom(address, 3000)).not.toMatch(/200 OK|shop/);
    const lookUp = async (name: string): Promise<string[]> =>
      ((await inside(evil, "nslookup", name)).match(/(?<=Address: )[\d.]+$/gm) ?? []).filter((address) =>
        address.startsWith("10."),
      );
    expect(await lookUp("web")).toEqual([own]);
    for (const name of ["web.shop", "_web_shop", `${rack.rack}_shop_web`])
      for (const one of [name, `tasks.${name}`, `${name}.${rack.rack}_shop`])
        expect([one, await lookUp(one)]).toEqual([one, []]);
    // The router carries requests by their names, as for anybody; its orders come by no network.
    for (const way of ways) expect(await fetchFrom(way, 2019)).not.toMatch(/200 OK|davit/);

    // What the admin allows is allowed, and to no other app.
    const data = rack.box.join("data");
    await sh(["mkdir", "-p", data]);
    const mount = `    volumes: ['${data}:/data:ro']\n`;
    await rack.box.ok(["rack", "params", "set", `HostPaths=+evil:${data}:ro`], { env: admin });
    expect(await deploy("evil", web(mount.replace(":ro", "")))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("add :ro to the volume"),
    });
    expect(await deploy("shop", web(mount))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`service web mounts ${data} of the host`),
    });
    expect(await deploy("evil", web(`${mount}    domain: shop.test2\n`))).toMatchObject({ code: 0 });
    await expectSoon("any.evil.test", "404 no such service");
    // A name that its app's releases name no more is free.
    await Bun.sleep(5000);
    expect(await deploy("shop", web("    domain: any.evil.test\n"))).toMatchObject({ code: 0 });
    await expectSoon("any.evil.test", "200 shop");
    await expectSoon("shop.test2", "200 evil");
  },
  LONG,
);

test.concurrent(
  "an app takes no image of the engine, and no place of the router's in other apps' networks",
  async () => {
    await using apart = await strangers();
    const { rack, admin, deploy, expectSoon, container, inside } = apart;
    expect(await deploy("shop", web())).toMatchObject({ code: 0 });
    await expectSoon("web.shop.apps.test", "200 shop");
    const shop = await container("shop");
    const image = (await sh([DOCKER, "inspect", "-f", "{{.Image}}", shop])).trim();
    const tags = `{{range .RepoTags}}{{println .}}{{end}}`;
    const names = (await sh([DOCKER, "image", "inspect", "-f", tags, image])).split("\n").filter(Boolean);
    const name = names.find((one) => one.startsWith(`${rack.rack}/shop:`)) ?? "";
    expect(name).toContain(":web.B");
    const id = image.replace("sha256:", "");
    await rack.box.ok(["rack", "params", "set", `RegistryHost=127.0.0.1:1`], { env: admin });
    const asResource = (of: string): string => web(`resources:\n  cache: {type: redis, image: "${of}"}\n`);
    for (const of of [
      ...[id, id.slice(0, 12), image, `docker.io/${name}`, name, `${name.split(":")[0]}@${image}`],
      ...["127.0.0.1:1/shop:web", "davit-test/caddy:2", "169.254.169.254/latest:1"],
    ]) {
      const took = await deploy("evil", asResource(of));
      expect([of, took.code, took.stderr]).toEqual([
        of,
        1,
        expect.stringMatching(/error: .*(redis|resource|image)/),
      ]);
      expect(took.stderr).not.toMatch(/refused|timeout|no such host/);
    }
    const made = await sh([DOCKER, "service", "ls", "-q", "--filter", `name=${rack.rack}_evil_resource`]);
    expect(made).toBe("");
    await rack.box.ok(["rack", "params", "set", "RegistryHost="], { env: admin });

    // Its image calls itself the rack's router: containers have the labels of their image.
    const rackId = /volumes\/(\w+)_/.exec(await inside(shop, "cat", "/proc/self/mountinfo"))?.[1] ?? "";
    expect(rackId).not.toBe("");
    const labels = `LABEL davit.rack=${rackId} davit.app=shop davit.router=yes davit.router.spec=x davit.one-off=yes`;
    const Dockerfile = `FROM scratch\nCOPY busybox /bin/busybox\n${labels}\nCOPY www /www\nCMD ["/bin/busybox", "httpd", "-f", "-p", "3000", "-h", "/www"]\n`;
    expect(await deploy("evil", web(), { Dockerfile })).toMatchObject({ code: 0 });
    const evil = await container("evil");
    expect(evil).not.toBe("");
    expect(await deploy("shop", web("    domain: late.test\n"))).toMatchObject({ code: 0 });
    await expectSoon("late.test", "200 shop");
    await expectSoon("web.evil.apps.test", "200 evil");
    const joined = await sh([DOCKER, "inspect", "-f", "{{json .NetworkSettings.Networks}}", evil]);
    expect(Object.keys(JSON.parse(joined))).toEqual([`${rack.rack}_evil`]);
    expect(await container("evil")).toBe(evil);
  },
  LONG,
);

test.concurrent(
  "an app whose routes lead nowhere holds up nobody's requests but its own",
  async () => {
    await using apart = await strangers();
    const { deploy, expectSoon, get, rack, admin } = apart;
    for (const app of ["shop", "evil"] as const) expect(await deploy(app, web())).toMatchObject({ code: 0 });
    for (const app of ["shop", "evil"]) await expectSoon(`web.${app}.apps.test`, `200 ${app}`);
    await rack.box.ok(["scale", "web", "--count", "0", "-a", "evil"], { env: admin });
    for (let tries = 0; tries < 50 && (await apart.container("evil")) !== ""; tries++) await Bun.sleep(200);
    const lost = Promise.all(Array.from({ length: 200 }, () => get("web.evil.apps.test").catch(String)));
    const slowest: number[] = [];
    for (const end = performance.now() + 4000; performance.now() < end; ) {
      const start = performance.now();
      expect(await get("web.shop.apps.test")).toBe("200 shop");
      slowest.push(performance.now() - start);
    }
    slowest.sort((a, b) => a - b);
    expect(slowest[Math.floor(slowest.length / 2)]).toBeLessThan(250);
    expect(new Set((await lost).map((said) => said.slice(0, 3)))).toEqual(new Set(["503"]));
  },
  LONG,
);
