import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { shellQuote } from "../../src/shell-words.ts";
import { convoxCli, startRack } from "../support/convox.ts";
import { DOCKER, davitCommand, type Result, sh } from "../support/davit.ts";
import { absent } from "../support/peers.ts";
import { SHOP, type SwarmRack, swarmRack, webProject } from "../support/swarm.ts";
import { tmux } from "../support/tmux.ts";

/* What runs of an app: its processes, what they write, and commands beside them. */

const LONG = 120_000;

/** The shop with a worker that writes two lines a second. */
const TALKS = SHOP.replace(
  "/bin/busybox sleep 100000",
  `/bin/busybox sh -c "while :; do echo tick; echo tock; sleep 1; done"`,
);

test.concurrent(
  "a stopped process is replaced, a restart replaces all, and deleting an app ends them",
  async () => {
    await using shop = await swarmRack();
    await shop.ok(["deploy"], await webProject(shop.box.join("shop"), "one"));
    const ids = async (): Promise<string[]> =>
      (await shop.json(["ps", "-a", "shop"]))
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
    expect(await shop.ok(["ps", "info", web, "-a", "shop"])).toMatch(
      /^Id +web-\w{12}\nApp +shop\n(.*\n)+Status +running\n$/,
    );
    await shop.ok(["ps", "stop", worker, "-a", "shop"]);
    await shop.ok(["restart", "web", "-a", "shop"]);
    await replaced([web, worker]);
    expect((await shop.run(["ps", "stop", "web-none", "-a", "shop"])).stderr).toMatch(
      /^error: no such process: web-none\n/,
    );
    await shop.ok(["apps", "lock", "shop"]);
    const locked = await shop.run(["apps", "delete", "shop", "--yes"]);
    expect(locked.stderr).toMatch(/^error: app is locked: shop\n/);
    expect((await ids()).length).toBe(2);
    await shop.ok(["apps", "unlock", "shop"]);
    await shop.ok(["apps", "delete", "shop", "--yes"]);
    expect(await sh([DOCKER, "service", "ls", "-q", "--filter", `name=${shop.rack}_`])).toBe("");
  },
  LONG,
);

test.concurrent(
  "logs are of each process, of one service, filtered, of the last lines, and go on",
  async () => {
    await using shop = await swarmRack();
    await shop.ok(["deploy"], await webProject(shop.box.join("shop"), "one", TALKS));
    const past = (await shop.ok(["logs", "-a", "shop", "--no-follow", "--tail", "4"])).trimEnd().split("\n");
    expect(past.length).toBe(4);
    for (const line of past) expect(line).toMatch(/^20\S+Z service\/worker\/worker-\w{12} (tick|tock)$/);
    expect(await shop.ok(["logs", "-a", "shop", "--no-follow", "-s", "web"])).toBe("");
    expect(await shop.ok(["logs", "-a", "shop", "--no-follow", "--filter", "tock"])).not.toContain("tick");
    expect(
      await shop.ok(["logs", "-a", "shop", "--no-follow", "--since", "1h", "--filter", "system/"]),
    ).toMatch(/^20\S+Z system\/worker\/worker-\w{12} running R[A-Z]{10}$/m);
    const following = shop.box.spawn(["logs", "-a", "shop", "--since", "1s"], { env: shop.env });
    await Bun.sleep(3000);
    following.kill("SIGINT");
    expect(await following.exited).toBe(130);
    expect((await new Response(following.stdout).text()).split("tick").length).toBeGreaterThan(2);
    await using served = await startRack(shop.box, shop.rack);
    const remote = await shop.box.ok(["logs", "-a", "shop", "--no-follow", "--tail", "2"], {
      env: { RACK_URL: served.rackUrl },
    });
    expect(remote).toMatch(/^20\S+Z service\/worker\/worker-\w{12} tick\n/);
  },
  LONG,
);

/** A client that runs commands inside: davit on the rack's own machine, davit over its API, or the original's CLI. */
interface From {
  name: "davit" | "convox";
  run(args: string[], stdin?: Blob): Promise<Result>;
  command: string[];
  env: Record<string, string | undefined>;
}

function davits({ box, env }: SwarmRack, served: { rackUrl: string }): From[] {
  return [env, { RACK_URL: served.rackUrl }].map((env) => ({
    name: "davit",
    run: (args, stdin) => box.run(args, { env, ...(stdin ? { stdin } : {}) }),
    command: davitCommand(),
    env: box.env(env),
  }));
}

function original({ box }: SwarmRack, served: { rackUrl: string }): From {
  const convox = convoxCli(box, { RACK_URL: served.rackUrl });
  return {
    name: "convox",
    run: (args, stdin) => convox.run(args, stdin ? { stdin } : {}),
    command: [convox.program],
    env: convox.env(),
  };
}

/** The original's takes a command in one word. */
function said(from: From, words: string[]): string[] {
  return from.name === "convox" ? [words.map(shellQuote).join(" ")] : ["--", ...words];
}

/** Runs commands in the process `id` of web, and in new ones, and expects what each says and how it ends. */
async function bringsBack(shop: SwarmRack, from: From, id: string): Promise<void> {
  const theirs = from.name === "convox";
  const inside = (...words: string[]) => from.run(["exec", id, "-a", "shop", ...said(from, words)]);
  expect(await inside("cat", "/www/index.html")).toEqual({ code: 0, stdout: "one", stderr: "" });
  expect(await inside("sh", "-c", "echo 'a  b'; exit 3")).toEqual({
    code: 3,
    stdout: "a  b\n",
    stderr: "",
  });
  const [out, err] = theirs ? ["no\n", ""] : ["", "no\n"];
  expect(await inside("sh", "-c", "echo no >&2")).toEqual({ code: 0, stdout: out, stderr: err });
  expect((await inside("sh", "-c", "nothing-such")).code).toBe(127);
  expect((await inside("nothing-such")).code).not.toBe(0);
  const none = await from.run(["exec", "web-none", "-a", "shop", "ls"]);
  expect([none.code, none.stdout + none.stderr]).toEqual([
    1,
    expect.stringMatching(/^error: no such process: web-none\n/i),
  ]);
  const once = (...words: string[]) => from.run(["run", "web", "-a", "shop", ...said(from, words)]);
  expect(await once("sh", "-c", "echo $SERVICE; exit 4")).toEqual({
    code: 4,
    stdout: "web\n",
    stderr: "",
  });
  if (!theirs) expect((await once("sh", "-c", "echo 'ä\nb'")).stdout).toBe("ä\nb\n");
  const none2 = await from.run(["run", "none", "-a", "shop", "ls"]);
  expect([none2.code, none2.stderr]).toEqual([1, expect.stringMatching(/^error: no such service: none\n/i)]);
  const detached = await from.run(["run", "web", "-d", "-a", "shop", ...said(from, ["sleep", "1000"])]);
  const [started = ""] = /web-\w{12}/.exec(detached.stdout) ?? [];
  expect((await shop.json(["ps", "-a", "shop"])).map(({ id }: { id: string }) => id)).toContain(started);
  await shop.ok(["ps", "stop", started, "-a", "shop"]);
}

test.concurrent(
  "exec and run bring output, exit codes and errors back",
  async () => {
    await using shop = await swarmRack();
    await shop.ok(["deploy"], await webProject(shop.box.join("shop"), "one"));
    const [{ id }] = await shop.json(["ps", "-a", "shop", "-s", "web"]);
    await using served = await startRack(shop.box, shop.rack);
    for (const from of davits(shop, served)) await bringsBack(shop, from, id);
    expect((await shop.json(["ps", "-a", "shop"])).length).toBe(2);
    for (const role of [[], ["--for-app", "shop"]]) {
      const key = (await shop.ok(["rack", "token", ...role])).trim();
      const RACK_URL = served.at(`jwt:${key}`);
      const refused = await shop.box.run(["exec", id, "-a", "shop", "ls"], { env: { RACK_URL } });
      expect(refused).toMatchObject({ code: 1, stderr: "error: you are unauthorized to access this\n" });
    }
  },
  LONG,
);

test.concurrent.skipIf(absent("convox"))(
  "convox exec and run bring output, exit codes and errors back",
  async () => {
    await using shop = await swarmRack();
    await shop.ok(["deploy"], await webProject(shop.box.join("shop"), "one"));
    const [{ id }] = await shop.json(["ps", "-a", "shop", "-s", "web"]);
    await using served = await startRack(shop.box, shop.rack);
    await bringsBack(shop, original(shop, served), id);
    expect((await shop.json(["ps", "-a", "shop"])).length).toBe(2);
  },
  LONG,
);

test.concurrent(
  "exec and run carry 100 MB through pipes, whole",
  async () => {
    await using shop = await swarmRack();
    await shop.ok(["deploy"], await webProject(shop.box.join("shop"), "one"));
    const [{ id }] = await shop.json(["ps", "-a", "shop", "-s", "web"]);
    await using served = await startRack(shop.box, shop.rack);
    const noise = Buffer.alloc(100_000_000, crypto.getRandomValues(new Uint8Array(1_000_003)));
    await writeFile(shop.box.join("noise"), noise);
    const whole = new Bun.CryptoHasher("sha256").update(noise).digest("hex");
    for (const env of [shop.env, { RACK_URL: served.rackUrl }])
      for (const args of [
        ["exec", id],
        ["run", "web"],
      ]) {
        const stdin = Bun.file(shop.box.join("noise"));
        const child = shop.box.spawn([...args, "-a", "shop", "--", "cat"], { env, stdin });
        const back = new Bun.CryptoHasher("sha256");
        for await (const chunk of child.stdout) back.update(chunk);
        expect(await child.exited).toBe(0);
        expect(back.digest("hex")).toBe(whole);
      }
  },
  LONG,
);

/** Types in terminals inside: in the process `id` of web, and in one of a command's own. */
async function isTerminal(from: From, id: string): Promise<void> {
  for (const args of [
    ["exec", id],
    ["run", "web"],
  ]) {
    await using terminal = await tmux([...from.command, ...args, "sh", "-a", "shop"], from.env);
    await terminal.type([], /\/ #/);
    await Bun.sleep(500);
    await terminal.type(["stty size", "Enter"], /^24 80$/m);
    if (from.name !== "convox") {
      await terminal.resize(100, 30);
      await Bun.sleep(500);
      await terminal.type(["stty size", "Enter"], /^30 100$/m);
    }
    await terminal.type(["sleep 100", "Enter"], /sleep 100/);
    await terminal.type(["C-c"], /\^C/);
    await terminal.type(["echo ä$((1+1))", "Enter"], /^ä2$/m);
    await terminal.type(["exit 130", "Enter"], /^exit code 130$/m);
  }
}

test.concurrent(
  "a terminal of tmux is a terminal inside: its size, its keys, and the exit code 130",
  async () => {
    await using shop = await swarmRack();
    await shop.ok(["deploy"], await webProject(shop.box.join("shop"), "one"));
    const [{ id }] = await shop.json(["ps", "-a", "shop", "-s", "web"]);
    await using served = await startRack(shop.box, shop.rack);
    for (const from of davits(shop, served)) await isTerminal(from, id);
    expect((await shop.json(["ps", "-a", "shop"])).length).toBe(2);
  },
  LONG,
);

test.concurrent.skipIf(absent("convox"))(
  "convox exec and run make a terminal of tmux one inside: its size, its keys, and the exit code 130",
  async () => {
    await using shop = await swarmRack();
    await shop.ok(["deploy"], await webProject(shop.box.join("shop"), "one"));
    const [{ id }] = await shop.json(["ps", "-a", "shop", "-s", "web"]);
    await using served = await startRack(shop.box, shop.rack);
    await isTerminal(original(shop, served), id);
    expect((await shop.json(["ps", "-a", "shop"])).length).toBe(2);
  },
  LONG,
);

test.concurrent.skipIf(absent("convox"))(
  "convox scales, restarts, stops, looks, reads logs, sets env and rolls back",
  async () => {
    await using shop = await swarmRack();
    const yml = TALKS.replace("    port: 3000\n", "    port: 3000\n    environment: [GREETING=none]\n");
    const first = await shop.json(["deploy"], await webProject(shop.box.join("shop"), "one", yml));
    await using served = await startRack(shop.box, shop.rack);
    const convox = convoxCli(shop.box, { RACK_URL: served.rackUrl });
    const ok = (...args: string[]): Promise<string> => convox.ok([...args, "-a", "shop"]);
    await ok("scale", "web", "--count", "2");
    expect(await ok("scale")).toMatch(/^web +2 +2 +10 +32/m);
    expect(await ok("services")).toMatch(/^web +3000$/m);
    expect(await ok("logs", "--no-follow", "--tail", "20")).toMatch(/ tock$/m);
    const [{ id }] = await shop.json(["ps", "-a", "shop", "-s", "worker"]);
    expect(await ok("ps", "info", id)).toMatch(/^Id +worker-\w{12}\nApp +shop\n/);
    expect(await ok("ps", "stop", id)).toBe(`Stopping ${id}... OK\n`);
    expect(await ok("restart")).toBe("Restarting web... OK\nRestarting worker... OK\n");
    await ok("env", "set", "GREETING=hello", "-p");
    expect(await ok("env")).toBe("GREETING=hello\n");
    expect(await ok("run", "web", "echo $GREETING $SERVICE")).toBe("$GREETING $SERVICE\n");
    expect(await ok("run", "web", "sh -c 'echo $GREETING'")).toBe("hello\n");
    await ok("releases", "rollback", first.release);
    const [{ id: active }] = await shop.json(["releases", "-a", "shop"]);
    expect(await ok("releases")).toMatch(new RegExp(`^${active} +active `, "m"));
    expect(await ok("run", "web", "sh -c 'echo $GREETING'")).toBe("none\n");
    expect(await convox.run(["apps", "cancel", "shop"])).toMatchObject({ code: 1 });
  },
  LONG,
);
