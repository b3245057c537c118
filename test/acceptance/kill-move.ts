import { readdir } from "node:fs/promises";
import { sampleBundle } from "../support/bundles.ts";
import { sandbox } from "../support/davit.ts";
import { startRegistry } from "../support/registry.ts";
import { corruptBlobs } from "./pool-check.ts";
import { random, seed, verdict } from "./verdict.ts";

/*
 * Kills a change of `Registry=` at moments spread over its whole duration: from the rack's
 * own pool to one registry, to another, and back. After each kill every build is whole.
 */
const KILLS = Number(process.env["KILLS"] ?? 60);
const next = random(seed());

using box = sandbox();
await using one = await startRegistry();
await using two = await startRegistry();
const targets = [`${one.host}/team`, `${two.host}/deep/team`, ""];
const rackDir = box.join("home/racks/local");
await box.ok(["apps", "create", "shop"]);
for (let i = 0; i < 5; i++) {
  const bundle = await sampleBundle(["web", "api", "worker"], noise(1_500_000));
  await box.ok(["builds", "import", "-a", "shop"], { stdin: bundle });
}
const builds: { id: string }[] = await box.json(["builds", "-a", "shop"]);
const expected = await exports();

let turn = 0;
const duration = await measure();
const problems: string[] = [];
let [interrupted, killed] = [0, 0];
for (let i = 0; i < KILLS; i++) {
  const child = box.spawn(set(turn));
  await Bun.sleep(((i + next()) / KILLS) * duration);
  child.kill("SIGKILL");
  if ((await child.exited) !== 0) killed++;
  const stores = new Set<unknown>((await rows()).map(({ store }) => store ?? ""));
  if (stores.size > 1) interrupted++;
  await check(`after kill ${i + 1}`);
  // Two kills of one move, then it goes on to its end.
  if (i % 2 === 0) continue;
  const done = await box.run(set(turn));
  if (done.code !== 0) problems.push(`the move after kill ${i + 1} failed: ${done.stderr}`);
  await check(`after the move that followed kill ${i + 1}`);
  await expectMoved(targets[turn % 3] ?? "");
  turn++;
}
for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
verdict(
  problems.length === 0,
  `${KILLS} kill -9 of a move between stores: every build whole after each, the next move completes, nothing is left behind`,
  `${problems.length} problems, ${killed} killed on their way, ${interrupted} with builds in several stores; a move takes ${Math.round(duration)} ms`,
);

function set(to: number): string[] {
  return ["rack", "params", "set", `Registry=${targets[to % targets.length]}`];
}

/** The longest of a move to each target. */
async function measure(): Promise<number> {
  let longest = 0;
  for (; turn < targets.length; turn++) {
    const began = performance.now();
    await box.ok(set(turn));
    longest = Math.max(longest, performance.now() - began);
  }
  return longest;
}

async function rows(): Promise<{ id: string; store?: string }[]> {
  return await box.json(["builds", "-a", "shop"]);
}

async function exports(): Promise<string[]> {
  return await Promise.all(
    builds.map(async ({ id }) => {
      const file = box.join(`${id}.tar`);
      const { code, stderr } = await box.run(["builds", "export", id, "-a", "shop", "-f", file]);
      if (code !== 0) return stderr;
      const hasher = new Bun.CryptoHasher("sha256");
      for await (const chunk of Bun.file(file).stream()) hasher.update(chunk);
      return hasher.digest("hex");
    }),
  );
}

async function check(when: string): Promise<void> {
  const found = await exports();
  for (const [i, text] of found.entries())
    if (text !== expected[i]) problems.push(`${when}: build ${builds[i]?.id} is not what it was: ${text}`);
  problems.push(...(await corruptBlobs(rackDir)));
}

async function expectMoved(store: string): Promise<void> {
  for (const row of await rows())
    if ((row.store ?? "") !== store) problems.push(`build ${row.id} is in ${row.store}, not in ${store}`);
  const left = await readdir(`${rackDir}/layout/blobs/sha256`);
  if (store !== "" && left.length > 0) problems.push(`${left.length} blobs are left in the rack's own pool`);
}

function noise(length: number): string {
  let text = "";
  while (text.length < length) text += next().toString(36).slice(2);
  return text;
}
