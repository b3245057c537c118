import { mkdir, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { Memory } from "../../bench/measure.ts";
import { bigArchive } from "../support/big-archive.ts";
import { davitCommand, sandbox, sh } from "../support/davit.ts";
import { type Served, serve } from "../support/server.ts";
import { random, seed, verdict } from "./verdict.ts";

/* A registry that is killed, starved of disk, flooded and used by many at once: S1–S7, S9, S12 and S16 of the server's table. */
const next = random(seed());
const only = process.env["ONLY"]?.split(",");
const MB = 1_000_000;
using box = sandbox();
const [davit = ""] = davitCommand();

const parts: Record<string, () => Promise<void>> = { s1, s3, s4, s5, s6, s7, s9, s12, s16 };
for (const [name, part] of Object.entries(parts)) if (!only || only.includes(name)) await part();

/** Every tag that was acknowledged is whole, and no blob has other bytes than its name says. */
async function examine(layout: string, acknowledged: string[]): Promise<string[]> {
  const problems: string[] = [];
  await using server = await serve(box, ["registry", "serve", layout]);
  for (const ref of acknowledged) {
    const { code, stderr } = await box.run(["pull", `${server.host}/${ref}`, "-o", box.join("examined.tar")]);
    if (code !== 0) problems.push(`${ref}: ${stderr.trim()}`);
  }
  for (const name of await readdir(join(layout, "blobs/sha256")).catch(() => [])) {
    const hash = new Bun.CryptoHasher("sha256")
      .update(await Bun.file(join(layout, "blobs/sha256", name)).arrayBuffer())
      .digest("hex");
    if (hash !== name) problems.push(`blob ${name} is corrupt`);
  }
  const halves = await readdir(join(layout, "ingest")).catch(() => []);
  if (halves.length > 0) problems.push(`${halves.length} half-written blobs are left after a start`);
  return problems;
}

async function s1(): Promise<void> {
  const layout = box.join("s1");
  const problems: string[] = [];
  const acknowledged: string[] = [];
  const kills = Number(process.env["KILLS"] ?? 60);
  for (let i = 0; i < kills; i++) {
    const server = await serve(box, ["registry", "serve", layout]);
    const pushes = [0, 1].map(async (n) => {
      const archive = box.join(`s1-${n}.tar`);
      await bigArchive(archive, [3 * MB, 2 * MB, 1000], Math.floor(next() * 1e9));
      const ref = `app${n}/x:v${i}`;
      const { code } = await box.run(["push", archive, `${server.host}/${ref}`]);
      if (code === 0) acknowledged.push(ref);
    });
    await Bun.sleep(next() * 250);
    await server.kill("SIGKILL");
    await Promise.all(pushes);
  }
  problems.push(...(await examine(layout, acknowledged)));
  for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
  verdict(
    problems.length === 0,
    `S1, S2: ${kills} kill -9 of the server with two pushes in flight`,
    `${acknowledged.length} acknowledged pushes, ${problems.length} problems`,
  );
}

/** A server under strace, which does something to one of its system calls. */
async function traced(layout: string, inject: string): Promise<Served> {
  const child = Bun.spawn(
    [
      "strace",
      "-f",
      "-qq",
      "-o",
      box.join("strace"),
      "-e",
      `trace=${inject.split(":")[0]}`,
      "-e",
      `inject=${inject}`,
      davit,
      "registry",
      "serve",
      layout,
      "--listen",
      "127.0.0.1:0",
    ],
    {
      env: box.env(),
      stdout: "pipe",
      stderr: "ignore",
    },
  );
  const { value } = await child.stdout.getReader().read();
  const url = /http:\/\/\S+/.exec(new TextDecoder().decode(value))?.[0] ?? "";
  const kill = async (signal: NodeJS.Signals) => {
    await sh(["pkill", `-${signal.slice(3)}`, "-f", `registry serve ${layout}`]).catch(() => undefined);
    return await child.exited;
  };
  return {
    url,
    host: url.replace("http://", ""),
    pid: child.pid,
    kill,
    [Symbol.asyncDispose]: async () => void (await kill("SIGKILL")),
  };
}

async function s3(): Promise<void> {
  const archive = box.join("s3.tar");
  const problems: string[] = [];
  let points = 0;
  for (const call of ["fsync", "rename", "unlink", "pwrite64"]) {
    for (let when = 1; when <= 40; when++) {
      const layout = box.join(`s3-${call}-${when}`);
      const server = await traced(layout, `${call}:signal=KILL:when=${when}`);
      const started = server.url !== "";
      await bigArchive(archive, [MB, 1000], Math.floor(next() * 1e9));
      const push = started
        ? await box.run(["push", archive, `${server.host}/app:v1`], { env: { DAVIT_IDLE_TIMEOUT: "1" } })
        : { code: 1 };
      const alive =
        started &&
        (await fetch(`${server.url}/v2/`).then(
          () => true,
          () => false,
        ));
      await server.kill("SIGKILL");
      points++;
      problems.push(
        ...(await examine(layout, push.code === 0 ? ["app:v1"] : [])).map(
          (text) => `${call} ${when}: ${text}`,
        ),
      );
      await rm(layout, { recursive: true, force: true });
      if (alive) break; // The push has no more such calls.
    }
  }
  for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
  verdict(
    problems.length === 0,
    "S3: killed at each write-class system call of a start and a push",
    `${points} points, ${problems.length} problems`,
  );
}

async function s4(): Promise<void> {
  const layout = box.join("s4");
  const archive = box.join("s4.tar");
  await bigArchive(archive, [2 * MB, 1000], 44);
  await using server = await serve(box, ["registry", "serve", layout]);
  const strace = Bun.spawn(
    [
      "strace",
      "-f",
      "-qq",
      "-o",
      box.join("strace"),
      "-p",
      String(server.pid),
      "-e",
      "trace=fsync",
      "-e",
      "inject=fsync:error=EIO:when=1",
    ],
    {
      stdout: "ignore",
      stderr: "ignore",
    },
  );
  await Bun.sleep(700);
  const first = await box.run(["push", archive, `${server.host}/app:v1`]);
  const second = await box.run(["push", archive, `${server.host}/app:v1`]);
  const alive = (await fetch(`${server.url}/check`)).status === 200;
  strace.kill();
  await strace.exited;
  const injected = (await Bun.file(box.join("strace")).text()).includes("INJECTED");
  await server.kill("SIGTERM");
  const problems = await examine(layout, ["app:v1"]);
  verdict(
    injected && alive && second.code === 0 && problems.length === 0,
    "S4: one fsync fails with EIO, the server stays up and nothing is lost",
    `first push exit ${first.code}, second ${second.code}, ${problems.length} problems`,
  );
}

async function s5(): Promise<void> {
  const layout = box.join("s5");
  await mkdir(layout);
  await sh(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", layout]);
  try {
    await using server = await serve(box, ["registry", "serve", layout]);
    const push = async (size: number, name: string) => {
      const archive = box.join("s5.tar");
      await bigArchive(archive, [size, 1000], Math.floor(next() * 1e9));
      return await box.run(["push", archive, `${server.host}/${name}`]);
    };
    const good = await push(6 * MB, "app:good");
    const full = await push(30 * MB, "app:full");
    const after = await push(2 * MB, "app:after");
    const pulled = await box.run(["pull", `${server.host}/app:good`, "-o", box.join("s5-out.tar")]);
    const deleted = await fetch(`${server.url}/v2/app/manifests/good`, { method: "DELETE" });
    const used = Number((await sh(["df", "--output=used", "-B1", layout])).split("\n")[1]);
    verdict(
      good.code === 0 &&
        full.code === 1 &&
        /disk is full|ENOSPC|507/.test(full.stderr) &&
        after.code === 0 &&
        pulled.code === 0 &&
        deleted.status === 202 &&
        used < 14 * MB,
      "S5: a full disk is said, its partial is freed at once, and the rest goes on",
      `exits ${good.code} ${full.code} ${after.code} ${pulled.code}, DELETE ${deleted.status}, ${(used / MB).toFixed(1)} MB used; ${full.stderr.trim().split("\n").at(-2)?.slice(-160)}`,
    );
  } finally {
    await sh(["umount", "-l", layout]);
  }
}

async function s6(): Promise<void> {
  await using server = await serve(box, ["registry", "serve", box.join("s6")]);
  const began = performance.now();
  const { promise, resolve } = Promise.withResolvers<number>();
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  const text = "GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: yes\r\n";
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++ % text.length] ?? "x"), 1000);
  socket.on("error", () => undefined);
  socket.on("close", () => resolve((performance.now() - began) / 1000));
  setTimeout(() => resolve(99), 40_000).unref();
  const seconds = await promise;
  clearInterval(timer);
  socket.destroy();
  verdict(
    seconds <= 15,
    "S6: a header that comes a byte a second is cut off",
    `after ${seconds.toFixed(1)} s`,
  );
}

async function latency(url: string, count: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    await (await fetch(`${url}/v2/app/manifests/v1`)).arrayBuffer();
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.99)] ?? 0;
}

async function s7(): Promise<void> {
  await using server = await serve(box, ["registry", "serve", box.join("s7")]);
  const archive = box.join("s7.tar");
  await bigArchive(archive, [MB, 1000], 7);
  await box.ok(["push", archive, `${server.host}/app:v1`]);
  const idle = await latency(server.url, 500);
  const port = Number(new URL(server.url).port);
  const locations = await Promise.all(
    Array.from(
      { length: 90 },
      async () =>
        (await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: "POST" })).headers.get("location") ??
        "",
    ),
  );
  const sockets = Array.from({ length: 1000 }, (_, i) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(
      `PATCH ${locations[i % locations.length]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\nx`,
    );
    return socket;
  });
  const timer = setInterval(() => {
    for (const socket of sockets) socket.write("x");
  }, 500);
  await Bun.sleep(1000);
  const memory = new Memory(server.pid);
  const busy = await latency(server.url, 500);
  memory.sample();
  clearInterval(timer);
  for (const socket of sockets) socket.destroy();
  verdict(
    busy < Math.max(2 * idle, 20) && memory.peak() < 256,
    "S7: 1,000 slow bodies beside normal work",
    `p99 ${busy.toFixed(1)} ms against ${idle.toFixed(1)} ms idle, ${memory.peak().toFixed(0)} MiB`,
  );
}

async function s9(): Promise<void> {
  const seconds = Number(process.env["SECONDS"] ?? 60);
  await using server = await serve(box, ["registry", "serve", box.join("s9")]);
  const end = performance.now() + seconds * 1000;
  const live = new Map<string, number>();
  const problems: string[] = [];
  let [pushes, deletes] = [0, 0];
  const archives = await Promise.all(
    Array.from({ length: 6 }, async (_, i) => {
      await bigArchive(box.join(`s9-${i}.tar`), [400_000, 200_000 + i, 1000], 90 + (i % 3));
      return box.join(`s9-${i}.tar`);
    }),
  );
  const pusher = async (n: number): Promise<void> => {
    while (performance.now() < end) {
      const which = Math.floor(next() * archives.length);
      const ref = `app${n % 3}:p${n}x${pushes++}`;
      const { code, stderr } = await box.run(["push", archives[which] ?? "", `${server.host}/${ref}`]);
      if (code === 0) live.set(ref, which);
      else problems.push(`push ${ref}: ${stderr.trim()}`);
    }
  };
  const deleter = async (): Promise<void> => {
    while (performance.now() < end) {
      await Bun.sleep(100);
      const [ref] = [...live.keys()].slice(Math.floor(next() * live.size));
      if (!ref) continue;
      const [name, tag] = ref.split(":");
      if ((await fetch(`${server.url}/v2/${name}/manifests/${tag}`, { method: "DELETE" })).status === 202)
        deletes++;
      live.delete(ref);
    }
  };
  await Promise.all([...Array.from({ length: 10 }, (_, n) => pusher(n)), deleter(), deleter()]);
  for (const ref of live.keys()) {
    const { code, stderr } = await box.run(["pull", `${server.host}/${ref}`, "-o", box.join("s9-out.tar")]);
    if (code !== 0) problems.push(`${ref}: ${stderr.trim()}`);
  }
  for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
  verdict(
    problems.length === 0,
    `S9: ten pushers and two deleters for ${seconds} s`,
    `${pushes} pushes, ${deletes} deletes, ${live.size} tags left, ${problems.length} problems`,
  );
}

async function s12(): Promise<void> {
  const count = Number(process.env["TAGS"] ?? 2000);
  for (const app of ["many"]) await box.ok(["apps", "create", app]);
  await using server = await serve(box, ["rack", "start", "--password-stdin"], {
    stdin: "a-long-password\n",
  });
  const authorization = `Basic ${Buffer.from("x:a-long-password").toString("base64")}`;
  const config = new TextEncoder().encode("{}");
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(config).digest("hex")}`;
  await fetch(`${server.url}/v2/many/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    body: config,
    headers: { authorization },
  });
  const type = "application/vnd.oci.image.manifest.v1+json";
  const began = performance.now();
  const push = async (i: number) => {
    const body = JSON.stringify({
      schemaVersion: 2,
      mediaType: type,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 2 },
      layers: [],
      annotations: { n: String(i) },
    });
    const { status } = await fetch(`${server.url}/v2/many/manifests/tag${i}`, {
      method: "PUT",
      body,
      headers: { authorization, "content-type": type },
    });
    if (status !== 201) throw new Error(`manifest ${i}: ${status}`);
  };
  for (let i = 0; i < count; i += 20) await Promise.all(Array.from({ length: 20 }, (_, n) => push(i + n)));
  const pushed = (performance.now() - began) / count;
  const start = performance.now();
  const page = await (
    await fetch(`${server.url}/v2/many/tags/list?n=1000000`, { headers: { authorization } })
  ).json();
  const listed = performance.now() - start;
  verdict(
    page.tags.length === Math.min(count, 10_000) && listed < 500,
    `S12: ${count} manifests and tags`,
    `${pushed.toFixed(1)} ms for each, a page of ${page.tags.length} in ${listed.toFixed(0)} ms`,
  );
}

async function s16(): Promise<void> {
  await box.ok(["apps", "create", "held"]);
  const path = box.join("home/racks/local/ledger.db");
  const holder = Bun.spawn(
    [
      "python3",
      "-c",
      `import sqlite3,time\nc=sqlite3.connect(${JSON.stringify(path)},isolation_level=None)\nc.execute("BEGIN EXCLUSIVE")\nprint("held",flush=True)\ntime.sleep(4)\n`,
    ],
    { stdout: "pipe" },
  );
  await holder.stdout.getReader().read();
  const began = performance.now();
  const waited = await box.run(["apps", "create", "waits"]);
  const seconds = (performance.now() - began) / 1000;
  await holder.exited;
  const damaged = box.join("home2");
  await sh(["cp", "-r", box.join("home"), damaged]);
  await sh([
    "dd",
    "if=/dev/zero",
    `of=${join(damaged, "racks/local/ledger.db")}`,
    "bs=1",
    "count=4096",
    "conv=notrunc",
    "status=none",
  ]);
  const broken = await box.run(["apps"], { env: { DAVIT_HOME: damaged } });
  verdict(
    waited.code === 0 && seconds > 2 && broken.code === 1 && /^error: Cannot open/.test(broken.stderr),
    "S16: a locked ledger is waited for, a damaged one is refused in one line",
    `waited ${seconds.toFixed(1)} s; ${broken.stderr.split("\n")[0]?.slice(0, 160)}`,
  );
}
