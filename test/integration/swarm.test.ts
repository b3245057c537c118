import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { convoxCli, startRack } from "../support/convox.ts";
import { DOCKER, sh } from "../support/davit.ts";
import { absent } from "../support/peers.ts";
import { SHOP, swarmRack, webProject } from "../support/swarm.ts";

/* Promoted releases on a real Swarm of one node. */

const LONG = 120_000;

test.concurrent(
  "deploy runs the services of a release, healthy, and the next one takes their place",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    const first = await shop.json(["deploy"], dir);
    expect(await shop.answer("web")).toBe("one");
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject({
      release: first.release,
      status: "running",
    });
    const running = await shop.json(["ps", "-a", "shop"]);
    expect(running).toMatchObject([
      { service: "web", status: "running", release: first.release, command: "" },
      { service: "worker", status: "running", release: first.release, command: "/bin/busybox sleep 100000" },
    ]);
    const builds = [first.id];
    for (const word of ["two", "three"]) {
      await writeFile(join(dir, "www/index.html"), word);
      builds.push((await shop.json(["deploy"], dir)).id);
      expect(await shop.answer("web")).toBe(word);
    }
    const names = await sh([DOCKER, "images", "--format", "{{.Tag}}", `${shop.rack}/shop`]);
    const [, second, third] = builds;
    expect(names.trimEnd().split("\n").sort()).toEqual(
      [second, third].flatMap((id) => [`web.${id}`, `worker.${id}`]).sort(),
    );
  },
  LONG,
);

const broken: [string, string, string, RegExp][] = [
  ["a service that never gets healthy", "port: 3000", "port: 3001", /service web: its health check failed/],
  [
    "a command that is not there",
    "sleep 100000",
    "nothing-such",
    /^ {2}.*nothing-such.*\nerror: .* service worker: it ended with exit code 127\nhint: /m,
  ],
];
for (const [what, from, to, why] of broken)
  test.concurrent(
    `${what} brings all services back to the release before, which served on`,
    async () => {
      await using shop = await swarmRack();
      const dir = await webProject(shop.box.join("shop"), "one");
      const first = await shop.json(["deploy"], dir);
      const [before] = await shop.json(["ps", "-a", "shop", "-s", "web"]);
      await webProject(dir, "two", SHOP.replace(from, to));
      const failed = await shop.run(["deploy"], dir);
      expect(failed.code).toBe(1);
      expect(failed.stderr).toMatch(
        new RegExp(`error: Cannot promote R[A-Z]{10}, so ${first.release} runs: `),
      );
      expect(failed.stderr).toMatch(why);
      expect(await shop.answer("web")).toBe("one");
      expect(await shop.json(["apps", "info", "shop"])).toMatchObject({
        release: first.release,
        status: "running",
      });
      if (to.startsWith("port"))
        expect((await shop.json(["ps", "-a", "shop", "-s", "web"]))[0].id).toBe(before.id);
    },
    LONG,
  );

test.concurrent(
  "a port of the node that is in use brings the release before back, and says so",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    const first = await shop.json(["deploy"], dir);
    using taken = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data: () => undefined } });
    await shop.ok(["rack", "params", "set", `HostPorts=+shop:${taken.port}`]);
    const agent = SHOP.replace("  worker:\n", `  worker:\n    agent: true\n    ports: [${taken.port}]\n`);
    await webProject(dir, "two", agent);
    const failed = await shop.run(["deploy"], dir);
    expect(failed.stderr).toMatch(
      new RegExp(`so ${first.release} runs: service worker: .*address already in use`),
    );
    expect(await shop.answer("web")).toBe("one");
    expect(
      (await shop.json(["ps", "-a", "shop"])).map(({ release }: { release: string }) => release),
    ).toEqual([first.release, first.release]);
  },
  LONG,
);

test.concurrent(
  "the first release of an app that fails leaves nothing running",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one", SHOP.replace("port: 3000", "port: 3001"));
    const failed = await shop.run(["deploy"], dir);
    expect(failed.stderr).toMatch(/error: Cannot promote R[A-Z]{10}, so nothing runs: service web: /);
    expect(await shop.json(["ps", "-a", "shop"])).toEqual([]);
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject({ release: "", status: "running" });
  },
  LONG,
);

test.concurrent(
  "a promotion that was killed is seen by whoever looks, and brought back by whoever changes the app",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    const first = await shop.json(["deploy"], dir);
    await webProject(dir, "two", SHOP.replace("port: 3000", "port: 3001"));
    const { release } = await shop.json(["build"], dir);
    const child = shop.box.spawn(["releases", "promote", release, "-a", "shop"], { env: shop.env });
    await Bun.sleep(2500);
    child.kill("SIGKILL");
    await child.exited;
    const left = { release: first.release, status: "rollback" };
    for (const look of [["apps", "info", "shop"], ["ps", "-a", "shop"], ["apps"]]) await shop.ok(look);
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject({
      ...left,
      problem: expect.stringContaining(`the davit that promoted ${release} was stopped`),
    });
    expect(await shop.json(["apps"])).toMatchObject([left]);
    await shop.ok(["apps", "cancel", "shop"]);
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject({ ...left, status: "running" });
    const releases = (await shop.json(["ps", "-a", "shop"])).map(
      ({ release }: { release: string }) => release,
    );
    expect(new Set(releases)).toEqual(new Set([first.release]));
    expect(await shop.answer("web")).toBe("one");
  },
  LONG,
);

test.concurrent(
  "a promotion that is cancelled goes back, and the next waits for it",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    const first = await shop.json(["deploy"], dir);
    expect((await shop.run(["apps", "cancel", "shop"])).stderr).toMatch(/^error: app is not updating\n/);
    await webProject(dir, "two", SHOP.replace("port: 3000", "port: 3001").replace("grace: 2", "grace: 60"));
    const { release } = await shop.json(["build"], dir);
    const promoting = shop.run(["releases", "promote", release, "-a", "shop"]);
    await Bun.sleep(2500);
    expect((await shop.json(["apps", "info", "shop"])).status).toBe("updating");
    const waiting = shop.run(["releases", "rollback", first.release, "-a", "shop"]);
    await Bun.sleep(500);
    await shop.ok(["apps", "cancel", "shop"]);
    const { code, stderr } = await promoting;
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`so ${first.release} runs: it was cancelled`),
    ]);
    const { stdout } = await waiting;
    expect(stdout).toMatch(/Waiting for app to be ready\.\.\. OK\nPromoting R[A-Z]{10}\.\.\. OK\n/);
    expect(await shop.answer("web")).toBe("one");
  },
  LONG,
);

test.concurrent(
  "a service is scaled, keeps that over the next release, and its other processes run on",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    await shop.ok(["deploy"], dir);
    const [before] = await shop.json(["ps", "-a", "shop", "-s", "worker"]);
    await shop.ok(["scale", "web", "--count", "2", "-a", "shop"]);
    expect(await shop.json(["scale", "-a", "shop"])).toEqual([
      { service: "web", desired: 2, running: 2, cpu: 10, memory: 32 },
      { service: "worker", desired: 1, running: 1, cpu: 10, memory: 32 },
    ]);
    expect((await shop.json(["ps", "-a", "shop", "-s", "worker"]))[0].id).toBe(before.id);
    await webProject(dir, "two");
    await shop.ok(["deploy"], dir);
    expect((await shop.json(["ps", "-a", "shop", "-s", "web"])).length).toBe(2);
    expect(await shop.ok(["services", "-a", "shop"])).toBe(
      "SERVICE  DOMAIN  PORTS\nweb              3000\nworker           \n",
    );
    expect((await shop.run(["scale", "none", "--count", "2", "-a", "shop"])).stderr).toMatch(
      /^error: no such service: none\n/,
    );
  },
  LONG,
);

test.concurrent(
  "a deploy to a served rack runs there, and one that fails is heard of",
  async () => {
    await using shop = await swarmRack();
    await using served = await startRack(shop.box, shop.rack);
    const dir = await webProject(shop.box.join("shop"), "one");
    const remote = { cwd: dir, env: { RACK_URL: served.rackUrl } };
    const first = JSON.parse(await shop.box.ok(["deploy", "--json"], remote));
    expect(await shop.answer("web")).toBe("one");
    await webProject(dir, "two", SHOP.replace("port: 3000", "port: 3001"));
    const failed = await shop.box.run(["deploy"], remote);
    expect(failed.stderr).toMatch(
      new RegExp(`error: Cannot promote R[A-Z]{10}, so ${first.release} runs: service web: `),
    );
  },
  LONG,
);

test.concurrent.skipIf(absent("convox"))(
  "convox deploy goes to a served rack, and waits until the release runs",
  async () => {
    await using shop = await swarmRack();
    await using served = await startRack(shop.box, shop.rack);
    const dir = await webProject(shop.box.join("shop"), "one");
    await shop.ok(["deploy"], dir);
    await webProject(dir, "three");
    const convox = convoxCli(shop.box, { RACK_URL: served.rackUrl });
    const said = await convox.ok(["deploy", "-a", "shop"], { cwd: dir });
    expect(said).toMatch(/^20\S+Z system\/web\/web-\w{12} running R[A-Z]{10}$/m);
    expect(await shop.answer("web")).toBe("three");
    expect(await convox.ok(["ps", "-a", "shop"])).toMatch(/^web-\w+ +web +running +R[A-Z]{10} /m);
  },
  LONG,
);

test.concurrent(
  "env set, create-from and rollback promote what they make",
  async () => {
    await using shop = await swarmRack();
    const yml = SHOP.replace("    port: 3000\n", "    port: 3000\n    environment: [GREETING=none]\n");
    const first = await shop.json(["deploy"], await webProject(shop.box.join("shop"), "one", yml));
    const greeting = async (): Promise<string> => {
      const [{ id }] = await shop.json(["ps", "-a", "shop", "-s", "web"]);
      return (await shop.ok(["exec", id, "-a", "shop", "--", "sh", "-c", "echo $GREETING"])).trim();
    };
    expect(await greeting()).toBe("none");
    await shop.ok(["env", "set", "GREETING=hello", "--promote", "-a", "shop"]);
    expect(await greeting()).toBe("hello");
    await shop.ok(["releases", "rollback", first.release, "-a", "shop"]);
    expect(await greeting()).toBe("none");
    const releases: { id: string; description: string }[] = await shop.json(["releases", "-a", "shop"]);
    const hello = releases.find(({ description }) => description === "env add:GREETING")?.id ?? "";
    const wanted = ["--use-active-release-build", "--env-from", hello, "--promote", "-a", "shop"];
    await shop.ok(["releases", "create-from", ...wanted]);
    expect(await greeting()).toBe("hello");
  },
  LONG,
);

test.concurrent(
  "an image that cannot be pulled brings the release before back, and says so",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    let first: { release: string };
    let host: string;
    {
      await using served = await startRack(shop.box, shop.rack);
      host = served.host;
      await shop.ok(["rack", "params", "set", `RegistryHost=${host}`]);
      first = await shop.json(["deploy"], dir);
      expect(await shop.answer("web")).toBe("one");
    }
    await webProject(dir, "two");
    const failed = await shop.run(["deploy"], dir);
    const why = `so ${first.release} runs: service (web|worker): No such image: ${host}/shop@sha256:`;
    expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(new RegExp(why))]);
    expect(await shop.answer("web")).toBe("one");
    // Where the image of what ran before has another name now there is no way back, until that is mended.
    await shop.ok(["rack", "params", "set", "RegistryHost=127.0.0.1:1"]);
    const stuck = await shop.run(["releases", "promote", "-a", "shop"]);
    expect(stuck.stderr).toMatch(
      /error: Cannot promote R[A-Z]{10}: .*; and what ran before could not be brought back: /,
    );
    expect(await shop.answer("web")).toBe("one");
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject({
      release: first.release,
      status: "rollback",
      problem: expect.stringContaining("and the way back failed: "),
    });
    // That is this app's matter, and no other's.
    expect(await shop.run(["apps", "create", "other"])).toMatchObject({ code: 0, stderr: "" });
    expect(await shop.run(["apps", "delete", "other", "--yes"])).toMatchObject({ code: 0, stderr: "" });
    await shop.ok(["rack", "params", "set", "RegistryHost="]);
    await shop.ok(["releases", "promote", "-a", "shop"]);
    expect(await shop.answer("web")).toBe("two");
  },
  LONG,
);
