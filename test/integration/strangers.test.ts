import { expect, test } from "bun:test";
import { startRack } from "../support/convox.ts";
import { DOCKER, sh } from "../support/davit.ts";
import { caddyImage } from "../support/debian-images.ts";
import { freePort } from "../support/registry.ts";
import { swarmRack, webProject } from "../support/swarm.ts";

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
    await using rack = await swarmRack();
    const http = await freePort();
    const params = [`RouterHttpPort=${http}`, `RouterImage=${await caddyImage()}`, "RouterDomain=apps.test"];
    await rack.ok(["rack", "params", "set", ...params]);
    await using server = await startRack(rack.box, rack.rack);
    const admin = { DAVIT_RACK: undefined, RACK_URL: server.rackUrl };
    const keyOf = async (app: string) => {
      await rack.box.ok(["apps", "create", app], { env: admin });
      const token = (await rack.box.ok(["rack", "token", "--for-app", app], { env: admin })).trim();
      return { DAVIT_RACK: undefined, RACK_URL: server.at(`jwt:${token}`) };
    };
    const keys = { shop: await keyOf("shop"), evil: await keyOf("evil") };
    const deploy = async (app: "shop" | "evil", yml: string) => {
      const dir = await webProject(rack.box.join(app), app, yml);
      return await rack.box.run(["deploy", "-a", app], { cwd: dir, env: keys[app] });
    };
    const get = async (host: string): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${http}/`, { headers: { host } });
      return `${response.status} ${(await response.text()).trim()}`;
    };
    /** A served rack tells its router a moment after a release runs. */
    const expectSoon = async (host: string, answer: string): Promise<void> => {
      for (let tries = 0; tries < 50 && (await get(host).catch(String)) !== answer; tries++)
        await Bun.sleep(200);
      expect([host, await get(host)]).toEqual([host, answer]);
    };
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

    const container = async (app: string): Promise<string> =>
      (await sh([DOCKER, "ps", "-q", "--filter", `name=${rack.rack}_${app}_web.`])).trim();
    const inside = (id: string, ...command: string[]): Promise<string> =>
      sh([DOCKER, "exec", id, "/bin/busybox", ...command]).catch(String);
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
    for (const name of ["web.shop", "web.shop.davit.invalid", `${rack.rack}_shop_web`])
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
