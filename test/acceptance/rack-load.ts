import { resolve } from "node:path";
import { Memory } from "../../bench/measure.ts";
import { PASSWORD, startRack } from "../support/convox.ts";
import { sandbox, sh } from "../support/davit.ts";
import { random, seed, verdict } from "./verdict.ts";

/*
 * 100 clients of one rack: 20 upload 200 MB each, again and again, 40 follow the log
 * of a build that runs, 40 list builds. Then the same with the server killed at
 * random moments: whatever was acknowledged must be there after the restart.
 */
const next = random(seed());
const SECONDS = Number(process.env["SECONDS"] ?? 300);
const KILLS = Number(process.env["KILLS"] ?? 100);
const SIZE = Number(process.env["MB"] ?? 200) * 1_000_000;
const [UPLOADERS, FOLLOWERS, LISTERS] = [20, 40, 40];
const LOGIN = { authorization: `Basic ${Buffer.from(`convox:${PASSWORD}`).toString("base64")}` };
const PIECE = new Uint8Array(1_000_000);
for (let i = 0; i < PIECE.length; i += 65_536) crypto.getRandomValues(PIECE.subarray(i, i + 65_536));

using box = sandbox();
await box.ok(["apps", "create", "shop"]);

interface Load {
  errors: string[];
  uploads: number;
  followed: number;
  /** Keys and ids whose answer was a success. */
  objects: Set<string>;
  releases: Set<string>;
  builds: Set<string>;
}

/** 200 MB that nobody else sends: the piece over and over, with a mark before it. */
function source(mark: string): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    pull(controller) {
      if (sent === 0) controller.enqueue(new TextEncoder().encode(mark.padEnd(100)));
      if (sent >= SIZE) return controller.close();
      controller.enqueue(PIECE.slice());
      sent += PIECE.byteLength;
    },
  });
}

/** Runs every client until `until` is aborted. With `wait` an unreachable server is no error: it is being killed. */
async function load(url: string, log: string, until: AbortSignal, wait: boolean): Promise<Load> {
  const result: Load = {
    ...{ errors: [], uploads: 0, followed: 0 },
    ...{ objects: new Set(), releases: new Set(), builds: new Set() },
  };
  const call = async (path: string, init: RequestInit = {}): Promise<Response | undefined> => {
    try {
      const response = await fetch(`${url}${path}`, {
        ...init,
        headers: { ...LOGIN, ...init.headers },
        signal: until,
      });
      if (response.status >= 400) result.errors.push(`${path}: ${response.status} ${await response.text()}`);
      return response.status < 400 ? response : undefined;
    } catch (error) {
      if (!until.aborted && !wait) result.errors.push(`${path}: ${error}`);
      await Bun.sleep(50);
      return undefined;
    }
  };
  const upload = async (): Promise<void> => {
    while (!until.aborted) {
      const key = `tmp/${crypto.randomUUID()}`;
      const init = { method: "POST", body: source(key), duplex: "half" };
      const done = await call(`/apps/shop/objects/${key}`, init);
      if (!done) continue;
      await done.text().catch(() => "");
      result.uploads++;
      result.objects.add(key);
      const gone = await call(`/apps/shop/objects/${key}`, { method: "DELETE" });
      // Even an unanswered deletion may have happened.
      result.objects.delete(key);
      await gone?.text().catch(() => "");
    }
  };
  /** Listers run in a process of their own; here one client makes what must outlive a kill. */
  const make = async (): Promise<void> => {
    while (!until.aborted) {
      await record(call, result);
      await Bun.sleep(50);
    }
  };
  const follow = async (): Promise<void> => {
    while (!until.aborted) {
      const bytes = await followOnce(url, log, until);
      result.followed += bytes;
      if (bytes === 0) await Bun.sleep(50);
    }
  };
  await Promise.all([
    ...Array.from({ length: UPLOADERS }, upload),
    ...Array.from({ length: FOLLOWERS }, follow),
    ...(wait ? [make()] : []),
  ]);
  return result;
}

/** Makes things that must outlive a kill once they are acknowledged. */
async function record(
  call: (path: string, init?: RequestInit) => Promise<Response | undefined>,
  result: Load,
) {
  const env = new URLSearchParams({ env: `N=${crypto.randomUUID()}` });
  const release = await call("/apps/shop/releases", { method: "POST", body: env });
  const made: { id?: string } | undefined = await release?.json().catch(() => undefined);
  if (made?.id) result.releases.add(made.id);
  const external = new URLSearchParams({ external: "true", url: "" });
  const build = await call("/apps/shop/builds", { method: "POST", body: external });
  const begun: { id?: string } | undefined = await build?.json().catch(() => undefined);
  if (begun?.id) result.builds.add(begun.id);
  const key = `kept/${crypto.randomUUID()}`;
  const kept = await call(`/apps/shop/objects/${key}`, { method: "POST", body: key });
  if (kept && (await kept.text().catch(() => "")) !== "") result.objects.add(key);
}

async function followOnce(url: string, build: string, until: AbortSignal): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const address = `${url.replace("http", "ws")}/apps/shop/builds/${build}/logs`;
  const socket: WebSocket = Reflect.construct(WebSocket, [address, { headers: LOGIN }]);
  let bytes = 0;
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") bytes += data.length;
    else resolve();
  };
  socket.onclose = () => resolve();
  until.addEventListener("abort", () => resolve());
  await promise;
  socket.close();
  return bytes;
}

/** A build that its client makes: its row stays open, so its log is followed and never ends. */
async function openBuild(url: string): Promise<string> {
  const body = new URLSearchParams({ external: "true", url: "" });
  const answer = await fetch(`${url}/apps/shop/builds`, { method: "POST", body, headers: LOGIN });
  const { id }: { id: string } = await answer.json();
  return id;
}

function percentile(values: number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
}

if (SECONDS > 0) {
  await using rack = await startRack(box);
  const memory = new Memory(rack.pid);
  const timer = setInterval(() => memory.sample(), 100);
  const log = await openBuild(rack.url);
  const lister = resolve(import.meta.dir, "../support/lister.ts");
  const listing = sh(["bun", lister, rack.url, LOGIN.authorization, String(LISTERS), String(SECONDS)]);
  const result = await load(rack.url, log, AbortSignal.timeout(SECONDS * 1000), false);
  const { latencies, errors }: { latencies: number[]; errors: string[] } = JSON.parse(await listing);
  result.errors.push(...errors);
  clearInterval(timer);
  for (const error of result.errors.slice(0, 5)) process.stderr.write(`${error}\n`);
  const p99 = percentile(latencies, 0.99);
  const what = `100 clients for ${SECONDS} s`;
  verdict(
    result.errors.length === 0,
    `${what}: no error`,
    `${result.errors.length} errors, ${result.uploads} uploads`,
  );
  verdict(memory.peak() < 192, `${what}: memory below 192 MiB`, `${memory.peak().toFixed(0)} MiB`);
  const median = percentile(latencies, 0.5);
  verdict(
    p99 < 100,
    `${what}: p99 of GET builds below 100 ms`,
    `${p99.toFixed(1)} ms, median ${median.toFixed(1)} ms, ${latencies.length} answers`,
  );
}

const problems: string[] = [];
const acknowledged = { objects: 0, releases: 0, builds: 0 };
for (let i = 0; i < KILLS; i++) {
  const rack = await startRack(box);
  const log = await openBuild(rack.url);
  const stop = new AbortController();
  const running = load(rack.url, log, stop.signal, true);
  await Bun.sleep(200 + next() * 2000);
  await rack.kill("SIGKILL");
  await Bun.sleep(20);
  stop.abort();
  const { objects, releases, builds } = await running;
  await using again = await startRack(box);
  const missing = async (path: string): Promise<boolean> =>
    (await fetch(`${again.url}${path}`, { headers: LOGIN })).status !== 200;
  for (const key of objects)
    if (await missing(`/apps/shop/objects/${key}`)) problems.push(`kill ${i}: object ${key}`);
  for (const id of releases)
    if (await missing(`/apps/shop/releases/${id}`)) problems.push(`kill ${i}: release ${id}`);
  for (const id of builds)
    if (await missing(`/apps/shop/builds/${id}`)) problems.push(`kill ${i}: build ${id}`);
  acknowledged.objects += objects.size;
  acknowledged.releases += releases.size;
  acknowledged.builds += builds.size;
}
for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
if (KILLS > 0)
  verdict(
    problems.length === 0,
    `${KILLS} kill -9 of the server under that load: what was acknowledged is there`,
    `${acknowledged.builds} builds, ${acknowledged.releases} releases, ${acknowledged.objects} objects; ${problems.length} problems`,
  );
