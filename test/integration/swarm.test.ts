import { afterEach, beforeEach, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { convoxCli, startRack } from "../support/convox.ts";
import { DOCKER, davitCommand, sandbox, sh } from "../support/davit.ts";
import { freePort } from "../support/registry.ts";
import { screen } from "../support/screen.ts";
import { caddyImage, SHOP, webProject } from "../support/swarm.ts";

/* Promoted releases on a real Swarm of one node. */

const LONG = 120_000;

let box: ReturnType<typeof sandbox>;
/** Services of other tests and other racks are not ours to look at. */
let rack: string;

beforeEach(async () => {
  box = sandbox();
  rack = `r${crypto.randomUUID().slice(0, 6)}`;
  await box.ok(["racks", "add", rack]);
  await box.ok(["rack", "install", "-r", rack]);
});

afterEach(async () => {
  const names = (await sh([DOCKER, "service", "ls", "-q", "--filter", `name=${rack}_`]))
    .split("\n")
    .filter(Boolean);
  if (names.length > 0) await sh([DOCKER, "service", "rm", ...names]);
  box[Symbol.dispose]();
});

const env = () => ({ DAVIT_RACK: rack });
const run = (args: string[], cwd?: string) => box.run(args, { env: env(), ...(cwd ? { cwd } : {}) });
const ok = (args: string[], cwd?: string) => box.ok(args, { env: env(), ...(cwd ? { cwd } : {}) });
const json = (args: string[], cwd?: string) => box.json(args, { env: env(), ...(cwd ? { cwd } : {}) });

/** What a service's container answers to one that asks from inside it. */
async function answer(service: string): Promise<string> {
  const ids = (
    await sh([DOCKER, "ps", "-q", "--filter", `name=${rack}_shop_${service}.`, "--filter", "health=healthy"])
  )
    .split("\n")
    .filter(Boolean);
  const answers = await Promise.all(
    ids.map((id) => sh([DOCKER, "exec", id, "/bin/busybox", "wget", "-qO-", "http://127.0.0.1:3000/"])),
  );
  return [...new Set(answers)].join(" ");
}

test(
  "deploy runs the services of a release, healthy, and the next one takes their place",
  async () => {
    const dir = await webProject(box.join("shop"), "one");
    const first = await json(["deploy"], dir);
    expect(await answer("web")).toBe("one");
    expect(await json(["apps", "info", "shop"])).toMatchObject({ release: first.release, status: "running" });
    const running = await json(["ps", "-a", "shop"]);
    expect(running).toMatchObject([
      { service: "web", status: "running", release: first.release, command: "" },
      { service: "worker", status: "running", release: first.release, command: "/bin/busybox sleep 100000" },
    ]);
    const builds = [first.id];
    for (const word of ["two", "three"]) {
      await writeFile(join(dir, "www/index.html"), word);
      builds.push((await json(["deploy"], dir)).id);
      expect(await answer("web")).toBe(word);
    }
    const names = await sh([DOCKER, "images", "--format", "{{.Tag}}", `${rack}/shop`]);
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
    /service worker: it ended with exit code 127; its last lines:/,
  ],
];
for (const [what, from, to, why] of broken)
  test(
    `${what} brings all services back to the release before, which served on`,
    async () => {
      const dir = await webProject(box.join("shop"), "one");
      const first = await json(["deploy"], dir);
      const [before] = await json(["ps", "-a", "shop", "-s", "web"]);
      await webProject(dir, "two", SHOP.replace(from, to));
      const failed = await run(["deploy"], dir);
      expect(failed.code).toBe(1);
      expect(failed.stderr).toMatch(
        new RegExp(`error: Cannot promote R[A-Z]{10}, so ${first.release} runs: `),
      );
      expect(failed.stderr).toMatch(why);
      expect(await answer("web")).toBe("one");
      expect(await json(["apps", "info", "shop"])).toMatchObject({
        release: first.release,
        status: "running",
      });
      if (to.startsWith("port"))
        expect((await json(["ps", "-a", "shop", "-s", "web"]))[0].id).toBe(before.id);
    },
    LONG,
  );

test(
  "a port of the node that is in use brings the release before back, and says so",
  async () => {
    const dir = await webProject(box.join("shop"), "one");
    const first = await json(["deploy"], dir);
    using taken = Bun.listen({ hostname: "0.0.0.0", port: 0, socket: { data: () => undefined } });
    const agent = SHOP.replace("  worker:\n", `  worker:\n    agent: true\n    ports: [${taken.port}]\n`);
    await webProject(dir, "two", agent);
    const failed = await run(["deploy"], dir);
    expect(failed.stderr).toMatch(
      new RegExp(`so ${first.release} runs: service worker: .*address already in use`),
    );
    expect(await answer("web")).toBe("one");
    expect((await json(["ps", "-a", "shop"])).map(({ release }: { release: string }) => release)).toEqual([
      first.release,
      first.release,
    ]);
  },
  LONG,
);

test(
  "resources and timers are not left out in silence",
  async () => {
    const more = `${SHOP}resources:\n  database:\n    type: postgres\ntimers:\n  nightly:\n    service: web\n`;
    const failed = await run(["deploy"], await webProject(box.join("shop"), "one", more));
    expect(failed.stderr).toContain("this rack does not run resource database, timer nightly");
  },
  LONG,
);

test(
  "the first release of an app that fails leaves nothing running",
  async () => {
    const dir = await webProject(box.join("shop"), "one", SHOP.replace("port: 3000", "port: 3001"));
    const failed = await run(["deploy"], dir);
    expect(failed.stderr).toMatch(/error: Cannot promote R[A-Z]{10}, so nothing runs: service web: /);
    expect(await json(["ps", "-a", "shop"])).toEqual([]);
    expect(await json(["apps", "info", "shop"])).toMatchObject({ release: "", status: "running" });
  },
  LONG,
);

test(
  "a promotion that was killed is brought back by whoever looks next",
  async () => {
    const dir = await webProject(box.join("shop"), "one");
    const first = await json(["deploy"], dir);
    await webProject(dir, "two", SHOP.replace("port: 3000", "port: 3001"));
    const { release } = await json(["build"], dir);
    const child = box.spawn(["releases", "promote", release, "-a", "shop"], { env: env() });
    await Bun.sleep(2500);
    child.kill("SIGKILL");
    await child.exited;
    expect(await json(["apps", "info", "shop"])).toMatchObject({ release: first.release, status: "running" });
    const releases = (await json(["ps", "-a", "shop"])).map(({ release }: { release: string }) => release);
    expect(new Set(releases)).toEqual(new Set([first.release]));
    expect(await answer("web")).toBe("one");
  },
  LONG,
);

test(
  "a promotion that is cancelled goes back, and the next waits for it",
  async () => {
    const dir = await webProject(box.join("shop"), "one");
    const first = await json(["deploy"], dir);
    expect((await run(["apps", "cancel", "shop"])).stderr).toMatch(/^error: app is not updating\n/);
    await webProject(dir, "two", SHOP.replace("port: 3000", "port: 3001").replace("grace: 2", "grace: 60"));
    const { release } = await json(["build"], dir);
    const promoting = run(["releases", "promote", release, "-a", "shop"]);
    await Bun.sleep(2500);
    expect((await json(["apps", "info", "shop"])).status).toBe("updating");
    const waiting = run(["releases", "rollback", first.release, "-a", "shop"]);
    await Bun.sleep(500);
    await ok(["apps", "cancel", "shop"]);
    const { code, stderr } = await promoting;
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`so ${first.release} runs: it was cancelled`),
    ]);
    const { stdout } = await waiting;
    expect(stdout).toMatch(/Waiting for app to be ready\.\.\. OK\nPromoting R[A-Z]{10}\.\.\. OK\n/);
    expect(await answer("web")).toBe("one");
  },
  LONG,
);

test(
  "a stopped process is replaced, a restart replaces all, and deleting an app ends them",
  async () => {
    await ok(["deploy"], await webProject(box.join("shop"), "one"));
    const ids = async (): Promise<string[]> =>
      (await json(["ps", "-a", "shop"]))
        .filter(({ status }: { status: string }) => status === "running")
        .map(({ id }: { id: string }) => id);
    const replaced = async (old: string[]): Promise<string[]> => {
      for (let tries = 0; tries < 300; tries++) {
        const now = await ids();
        if (now.length === 2 && !now.some((id) => old.includes(id))) return now;
        await Bun.sleep(100);
      }
      throw new Error("they were not replaced");
    };
    const [web = "", worker = ""] = await ids();
    expect(await ok(["ps", "info", web, "-a", "shop"])).toMatch(
      /^Id +web-\w{12}\nApp +shop\n(.*\n)+Status +running\n$/,
    );
    await ok(["ps", "stop", worker, "-a", "shop"]);
    await ok(["restart", "web", "-a", "shop"]);
    await replaced([web, worker]);
    expect((await run(["ps", "stop", "web-none", "-a", "shop"])).stderr).toMatch(
      /^error: no such process: web-none\n/,
    );
    await ok(["apps", "delete", "shop", "--yes"]);
    expect(await sh([DOCKER, "service", "ls", "-q", "--filter", `name=${rack}_`])).toBe("");
  },
  LONG,
);

test(
  "logs are of each process, of one service, filtered, of the last lines, and go on",
  async () => {
    const says = SHOP.replace(
      "/bin/busybox sleep 100000",
      `/bin/busybox sh -c "while :; do echo tick; echo tock; sleep 1; done"`,
    );
    await ok(["deploy"], await webProject(box.join("shop"), "one", says));
    const past = (await ok(["logs", "-a", "shop", "--no-follow", "--tail", "4"])).trimEnd().split("\n");
    expect(past.length).toBe(4);
    for (const line of past) expect(line).toMatch(/^20\S+Z service\/worker\/worker-\w{12} (tick|tock)$/);
    expect(await ok(["logs", "-a", "shop", "--no-follow", "-s", "web"])).toBe("");
    expect(await ok(["logs", "-a", "shop", "--no-follow", "--filter", "tock"])).not.toContain("tick");
    const following = box.spawn(["logs", "-a", "shop", "--since", "1s"], { env: env() });
    await Bun.sleep(3000);
    following.kill("SIGINT");
    expect(await following.exited).toBe(130);
    expect((await new Response(following.stdout).text()).split("tick").length).toBeGreaterThan(2);
    await using served = await startRack(box, rack);
    const remote = await box.ok(["logs", "-a", "shop", "--no-follow", "--tail", "2"], {
      env: { RACK_URL: served.rackUrl },
    });
    expect(remote).toMatch(/^20\S+Z service\/worker\/worker-\w{12} tick\n/);
    const convox = convoxCli(box, { RACK_URL: served.rackUrl });
    if (convox)
      expect(await convox.ok(["logs", "-a", "shop", "--no-follow", "--tail", "2"])).toMatch(/ tock$/m);
  },
  LONG,
);

test(
  "a service is scaled, keeps that over the next release, and its other processes run on",
  async () => {
    const dir = await webProject(box.join("shop"), "one");
    await ok(["deploy"], dir);
    const [before] = await json(["ps", "-a", "shop", "-s", "worker"]);
    await ok(["scale", "web", "--count", "2", "-a", "shop"]);
    expect(await json(["scale", "-a", "shop"])).toEqual([
      { service: "web", desired: 2, running: 2, cpu: 10, memory: 32 },
      { service: "worker", desired: 1, running: 1, cpu: 10, memory: 32 },
    ]);
    expect((await json(["ps", "-a", "shop", "-s", "worker"]))[0].id).toBe(before.id);
    await webProject(dir, "two");
    await ok(["deploy"], dir);
    expect((await json(["ps", "-a", "shop", "-s", "web"])).length).toBe(2);
    expect(await ok(["services", "-a", "shop"])).toBe(
      "SERVICE  DOMAIN  PORTS\nweb              3000\nworker           \n",
    );
    expect((await run(["scale", "none", "--count", "2", "-a", "shop"])).stderr).toMatch(
      /^error: no such service: none\n/,
    );
  },
  LONG,
);

test(
  "exec and run bring output and exit codes back, through pipes and on a terminal",
  async () => {
    await ok(["deploy"], await webProject(box.join("shop"), "one"));
    const [{ id }] = await json(["ps", "-a", "shop", "-s", "web"]);
    const inside = (...command: string[]) => run(["exec", id, "-a", "shop", "--", ...command]);
    expect(await inside("cat", "/www/index.html")).toEqual({ code: 0, stdout: "one", stderr: "" });
    expect(await inside("sh", "-c", "echo no >&2; exit 3")).toEqual({ code: 3, stdout: "", stderr: "no\n" });
    expect((await inside("sh", "-c", "nothing-such")).code).toBe(127);
    expect((await run(["exec", "web-none", "-a", "shop", "ls"])).stderr).toMatch(
      /^error: no such process: web-none\n/,
    );
    const once = (...command: string[]) => run(["run", "web", "-a", "shop", "--", ...command]);
    expect(await once("sh", "-c", "echo $SERVICE; exit 4")).toEqual({ code: 4, stdout: "web\n", stderr: "" });
    const noise = Buffer.alloc(100_000_000, crypto.getRandomValues(new Uint8Array(1_000_003)));
    await writeFile(box.join("noise"), noise);
    for (const args of [
      ["exec", id],
      ["run", "web"],
    ]) {
      const child = box.spawn([...args, "-a", "shop", "--", "cat"], {
        env: env(),
        stdin: Bun.file(box.join("noise")),
      });
      const back = new Bun.CryptoHasher("sha256");
      for await (const chunk of child.stdout) back.update(chunk);
      expect(await child.exited).toBe(0);
      expect(back.digest("hex")).toBe(new Bun.CryptoHasher("sha256").update(noise).digest("hex"));
    }
    const detached = (await ok(["run", "web", "-d", "-a", "shop", "--", "sleep", "1000"])).trim();
    expect((await json(["ps", "-a", "shop"])).map(({ id }: { id: string }) => id)).toContain(detached);
    await ok(["ps", "stop", detached, "-a", "shop"]);
    const seen = screen(80, 24);
    const child = Bun.spawn([...davitCommand(), "exec", id, "sh", "-a", "shop"], {
      env: box.env({ ...env(), TERM: "xterm" }),
      terminal: { cols: 80, rows: 24, data: (_, bytes) => seen.write(bytes) },
    });
    const type = async (text: string, until: RegExp): Promise<void> => {
      child.terminal?.write(text);
      for (let tries = 0; tries < 100 && !until.test(seen.text()); tries++) await Bun.sleep(50);
      expect(seen.text()).toMatch(until);
    };
    await type("", /\/ #/);
    await Bun.sleep(1000);
    await type("stty size\r", /^24 80$/m);
    child.terminal?.resize(100, 30);
    await Bun.sleep(500);
    await type("stty size\r", /^30 100$/m);
    await type("sleep 100\r", /sleep 100/);
    await type("\x03", /\^C/);
    await type("exit 130\r", /exit 130/);
    expect(await child.exited).toBe(130);
  },
  LONG,
);

test(
  "the world reaches routed services by name, and misses nothing while a release replaces another",
  async () => {
    const [http, image] = [await freePort(), await caddyImage()];
    await ok([
      "rack",
      "params",
      "set",
      "RouterDomain=apps.test",
      `RouterHttpPort=${http}`,
      `RouterImage=${image}`,
    ]);
    const dir = await webProject(box.join("shop"), "one");
    await ok(["deploy"], dir);
    const get = async (host: string): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${http}/`, { headers: { host } });
      return `${response.status} ${(await response.text()).trim()}`;
    };
    expect(await get("web.shop.apps.test")).toBe("200 one");
    expect(await get("worker.shop.apps.test")).toBe("404 no such service");
    const router = await sh([DOCKER, "ps", "-q", "--filter", `name=${rack}_router`]);
    const answers = new Map<string, number>();
    let stop = false;
    const asking = Array.from({ length: 4 }, async () => {
      while (!stop) {
        const said = await get("web.shop.apps.test").catch(String);
        answers.set(said, (answers.get(said) ?? 0) + 1);
      }
    });
    await webProject(
      dir,
      "two",
      SHOP.replace("    command: /bin/busybox sleep 100000", "    domain: shop.test\n    port: 3000"),
    );
    await ok(["deploy"], dir);
    stop = true;
    await Promise.all(asking);
    expect([...answers.keys()].sort()).toEqual(["200 one", "200 two"]);
    expect(await get("shop.test")).toBe("200 two");
    expect(await sh([DOCKER, "ps", "-q", "--filter", `name=${rack}_router`])).toBe(router);
    await ok(["apps", "delete", "shop", "--yes"]);
    expect(await get("web.shop.apps.test")).toBe("404 no such service");
  },
  LONG,
);

test(
  "davit and the real convox deploy to a served rack, and hear of what fails",
  async () => {
    await using served = await startRack(box, rack);
    const dir = await webProject(box.join("shop"), "one");
    const remote = { cwd: dir, env: { RACK_URL: served.rackUrl } };
    const first = JSON.parse(await box.ok(["deploy", "--json"], remote));
    expect(await answer("web")).toBe("one");
    await webProject(dir, "two", SHOP.replace("port: 3000", "port: 3001"));
    const failed = await box.run(["deploy"], remote);
    expect(failed.stderr).toMatch(
      new RegExp(`error: Cannot promote R[A-Z]{10}, so ${first.release} runs: service web: `),
    );
    const convox = convoxCli(box, { RACK_URL: served.rackUrl });
    if (!convox) return;
    await webProject(dir, "three");
    await convox.ok(["deploy", "-a", "shop"], { cwd: dir });
    expect(await answer("web")).toBe("three");
    expect(await convox.ok(["ps", "-a", "shop"])).toMatch(/^web-\w+ +web +running +R[A-Z]{10} /m);
  },
  LONG,
);
