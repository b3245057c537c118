import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { sampleBundle } from "../support/bundles.ts";
import { davitCommand, sandbox, sh } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";

const SLOW = {
  "convox.yml": "services:\n  web:\n    build: .\n",
  Dockerfile: `${BASE}ARG WHEN\nRUN echo started $WHEN; sleep 30\n`,
};

/** Runs a build until its RUN step has begun. */
async function startSlowBuild(
  box: ReturnType<typeof sandbox>,
  dir: string,
  env: Record<string, string> = {},
) {
  const child = box.spawn(["build", "--build-args", `WHEN=${crypto.randomUUID()}`], { cwd: dir, env });
  const reader = child.stdout.getReader();
  let seen = "";
  while (!/^#\d+ \d+\.\d+ started/m.test(seen)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the build ended early: ${seen}${await new Response(child.stderr).text()}`);
    seen += new TextDecoder().decode(value);
  }
  void reader.closed.catch(() => undefined);
  reader.releaseLock();
  return child;
}

test("a failing RUN fails the build with the engine's words, exit 1, and the log kept", async () => {
  using box = sandbox();
  const dir = await project(box.join("fails"), { ...SLOW, Dockerfile: `${BASE}RUN echo before; exit 7\n` });
  const { code, stderr } = await box.run(["build"], { cwd: dir });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: build failed: .*exit code: 7$/m);
  expect(stderr).not.toContain("    at ");
  const [build] = await box.json(["builds"], { cwd: dir });
  expect(build).toMatchObject({
    status: "failed",
    release: "",
    reason: expect.stringContaining("exit code: 7"),
  });
  const log = await box.ok(["builds", "logs", build.id], { cwd: dir });
  expect(log).toContain("before");
  expect(log).toMatch(/^ERROR: /m);
  expect(await box.run(["builds", "export", build.id], { cwd: dir })).toMatchObject({ code: 1, stdout: "" });
});

test("Ctrl-C stops the build, marks it failed and exits 130; the next build just works", async () => {
  using box = sandbox();
  const dir = await project(box.join("slow"), SLOW);
  const child = await startSlowBuild(box, dir);
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  expect((await box.json(["builds"], { cwd: dir }))[0]).toMatchObject({
    status: "failed",
    reason: "Interrupted",
  });
  await writeFile(`${dir}/Dockerfile`, BASE);
  await box.ok(["build"], { cwd: dir });
});

test("SIGTERM exits 143", async () => {
  using box = sandbox();
  const dir = await project(box.join("slow"), SLOW);
  const child = await startSlowBuild(box, dir);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(143);
});

test("a build that was killed is marked failed by whoever looks next; one that runs beside it is left alone", async () => {
  using box = sandbox();
  const dir = await project(box.join("slow"), SLOW);
  const killed = await startSlowBuild(box, dir);
  const running = await startSlowBuild(box, dir);
  killed.kill("SIGKILL");
  await killed.exited;
  const builds = await box.json(["builds"], { cwd: dir });
  expect(builds.map((build: { status: string }) => build.status)).toEqual(["running", "failed"]);
  expect(builds[1].reason).toContain("was stopped");
  running.kill("SIGINT");
  await running.exited;
});

test("an engine that dies in mid-build fails the build with the reason", async () => {
  using box = sandbox();
  const dir = await project(box.join("slow"), SLOW);
  const socket = box.join("engine.sock");
  const real = process.env["DOCKER_HOST"]?.replace("unix://", "") ?? "";
  const open = new Set<Socket>();
  const proxy = createServer((client) => {
    const engine = connect(real);
    for (const side of [client, engine]) {
      open.add(side);
      side.on("error", () => undefined);
    }
    client.pipe(engine).pipe(client);
  }).listen(socket);
  const child = await startSlowBuild(box, dir, { DOCKER_HOST: `unix://${socket}` });
  proxy.close();
  for (const side of open) side.destroy();
  expect(await child.exited).toBe(1);
  expect(await new Response(child.stderr).text()).toMatch(/^error: build failed: .*broke off/m);
  expect((await box.json(["builds"], { cwd: dir }))[0]).toMatchObject({
    status: "failed",
    reason: expect.stringContaining("broke off"),
  });
});

test("two builds at once, and an import during a build, all end whole", async () => {
  using box = sandbox();
  const dir = await project(box.join("both"), {
    ...SLOW,
    Dockerfile: `${BASE}ARG N\nRUN echo $N > /n; sleep 1\n`,
  });
  const bundle = await sampleBundle(["web", "api"]);
  await box.ok(["apps", "create", "both"]);
  const results = await Promise.all([
    box.run(["build", "--build-args", "N=1", "--id"], { cwd: dir }),
    box.run(["build", "--build-args", "N=2", "--id"], { cwd: dir }),
    box.run(["builds", "import", "--id"], { cwd: dir, stdin: bundle }),
    box.run(["builds", "import", "--id"], { cwd: dir, stdin: bundle }),
  ]);
  for (const result of results)
    expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/^R[A-Z]{10}$/) });
  const builds = await box.json(["builds"], { cwd: dir });
  expect(builds.map((build: { status: string }) => build.status)).toEqual(Array(4).fill("complete"));
  for (const build of builds) await box.ok(["builds", "export", build.id, "-f", "/dev/null"], { cwd: dir });
});

test("a full disk fails an import in one line, leaves nothing, and reading still works", async () => {
  using box = sandbox();
  const bundle = await sampleBundle(["web"], "x");
  await Bun.write(box.join("small.tar"), bundle);
  const big = await sampleBundle(["web", "api"], "y".repeat(3_000_000));
  await Bun.write(box.join("big.tar"), big);
  const [davit = ""] = davitCommand();
  const script = `set -e; mkdir -p $1; mount -t tmpfs -o size=8m none $1; export DAVIT_HOME=$1
    $0 builds import -a shop -f $2; code=0; $0 builds import -a shop -f $3 || code=$?; echo "code $code"
    $0 builds -a shop; find $1/racks/local/layout/ingest -type f | wc -l; $0 builds import -a shop -f $2`;
  const output = await sh([
    "unshare",
    "-m",
    "bash",
    "-c",
    `exec 2>&1; ${script}`,
    davit,
    box.join("full"),
    box.join("small.tar"),
    box.join("big.tar"),
  ]);
  expect(output).toMatch(/^error: .*(no space|disk is full|ENOSPC)/im);
  expect(output).toContain("code 1");
  expect(output.match(/complete/g)).toHaveLength(1);
  expect(output).toMatch(/^0$/m);
  expect(output.match(/Importing build\.\.\. OK/g)).toHaveLength(2);
});

test("an import whose writer dies leaves no build, and a reader that goes away ends an export quietly", async () => {
  using box = sandbox();
  const bundle = await sampleBundle(["web", "api"]);
  const cut = await box.run(["builds", "import", "-a", "shop"], {
    stdin: bundle.slice(0, bundle.byteLength - 2000),
  });
  expect(cut).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error: Cannot read the archive: it ends inside/m),
  });
  expect(await box.json(["builds", "-a", "shop"])).toEqual([]);
  await box.ok(["builds", "import", "-a", "shop"], {
    stdin: await sampleBundle(["web"], "z".repeat(2_000_000)),
  });
  const [build] = await box.json(["builds", "-a", "shop"]);
  const [davit = ""] = davitCommand();
  const head = await sh(
    [
      "bash",
      "-c",
      `"$0" builds export ${build.id} -a shop 2>${box.join("err")} | head -c 10 >/dev/null; echo "\${PIPESTATUS[0]}"`,
      davit,
    ],
    { env: box.env() },
  );
  expect(head.trim()).toBe("1");
  expect(await Bun.file(box.join("err")).text()).not.toContain("    at ");
});

test("Ctrl-C ends an import whose pipe says nothing, and an export that nobody reads", async () => {
  using box = sandbox();
  const bundle = await sampleBundle(["web"], "w".repeat(3_000_000));
  const [davit = ""] = davitCommand();
  const silent = Bun.spawn([davit, "builds", "import", "-a", "shop"], {
    env: box.env(),
    cwd: box.path,
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  silent.stdin.write(bundle.slice(0, 5000));
  await silent.stdin.flush();
  await Bun.sleep(300);
  silent.kill("SIGINT");
  expect(await silent.exited).toBe(130);
  expect(await box.json(["builds", "-a", "shop"])).toEqual([]);
  await box.ok(["builds", "import", "-a", "shop"], { stdin: bundle });
  const [build] = await box.json(["builds", "-a", "shop"]);
  const fifo = box.join("unread");
  await sh(["mkfifo", fifo]);
  const unread = box.spawn(["builds", "export", build.id, "-a", "shop", "-f", fifo]);
  await Bun.sleep(300);
  unread.kill("SIGINT");
  expect(await unread.exited).toBe(130);
}, 30_000);

test("the log of a running build can be followed from another process, and is the same when it has ended", async () => {
  using box = sandbox();
  const dir = await project(box.join("slow"), {
    ...SLOW,
    Dockerfile: `${BASE}ARG WHEN\nRUN echo started $WHEN; sleep 1; echo later\n`,
  });
  const child = await startSlowBuild(box, dir);
  const [{ id }] = await box.json(["builds"], { cwd: dir });
  const followed = await box.ok(["builds", "logs", id], { cwd: dir });
  expect(await child.exited).toBe(0);
  expect(followed).toContain("later");
  expect(await box.ok(["builds", "logs", id], { cwd: dir })).toBe(followed);
});

test("a damaged ledger is one clear line", async () => {
  using box = sandbox();
  await box.ok(["apps", "create", "shop"]);
  await writeFile(
    box.join("home/racks/local/ledger.db"),
    "this is no database, and it is long enough to be looked at as one".repeat(100),
  );
  const { code, stderr } = await box.run(["apps"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: Cannot open .*ledger\.db: the ledger is damaged .*\nhint: .*\n$/);
});

test.each(["fsync", "fdatasync"])(
  "a disk that fails in %s fails the import, and nothing of it is kept",
  async (call) => {
    using box = sandbox();
    await Bun.write(box.join("b.tar"), await sampleBundle(["web"], "v".repeat(40_000_000)));
    await box.ok(["apps", "create", "shop"]);
    const [davit = ""] = davitCommand();
    const run = Bun.spawn(
      [
        "bash",
        "-c",
        `strace -f -qq -o /dev/null -e trace=${call} -e inject=${call}:error=EIO:when=1 "$0" builds import -a shop -f ${box.join("b.tar")}`,
        davit,
      ],
      {
        env: box.env(),
        stdout: "ignore",
        stderr: "pipe",
      },
    );
    expect(await run.exited).toBe(1);
    expect(await new Response(run.stderr).text()).toMatch(/^error: .*(EIO|i\/o error)/im);
    expect(await box.json(["builds", "-a", "shop"])).toEqual([]);
    await box.ok(["builds", "import", "-a", "shop", "-f", box.join("b.tar")]);
  },
);
