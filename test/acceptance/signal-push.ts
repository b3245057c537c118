import { readdir } from "node:fs/promises";
import { bigArchive } from "../support/big-archive.ts";
import { sandbox } from "../support/davit.ts";
import { serve } from "../support/server.ts";
import { random, seed, verdict } from "./verdict.ts";

/* P18: SIGINT and SIGTERM at moments spread over a push: it ends soon, with the right code, and leaves nothing behind here or there. */
const SIGNALS = Number(process.env["SIGNALS"] ?? 50);
const MB = 1_000_000;
const next = random(seed());
using box = sandbox();
const layout = box.join("layout");
await using server = await serve(box, ["registry", "serve", layout]);
const archive = box.join("image.tar");
await bigArchive(archive, [8 * MB, 6 * MB, 1000], Math.floor(next() * 1e9));
/** Slow enough that most signals meet it at work: about 1.5 s. */
const limit = ["--limit-rate", "10M"];

const problems: string[] = [];
let slowest = 0;
for (let i = 0; i < SIGNALS; i++) {
  const signal = i % 2 === 0 ? "SIGINT" : "SIGTERM";
  await bigArchive(archive, [8 * MB, 6 * MB, 1000], Math.floor(next() * 1e9));
  const child = box.spawn(["push", archive, `${server.host}/app/x:v${i}`, ...limit]);
  await Bun.sleep(60 + ((i + next()) / SIGNALS) * 1400);
  const began = performance.now();
  child.kill(signal);
  const code = await child.exited;
  const seconds = (performance.now() - began) / 1000;
  slowest = Math.max(slowest, seconds);
  const expected = signal === "SIGINT" ? 130 : 143;
  if (code !== expected && code !== 0) problems.push(`${signal} ${i}: exit ${code}`);
  if (seconds > 2) problems.push(`${signal} ${i}: ended after ${seconds.toFixed(1)} s`);
}
const sessions = (await readdir(`${layout}/uploads`)).length;
const notes = (await readdir(box.join("home/uploads")).catch(() => [])).length;
for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
verdict(
  problems.length === 0 && sessions === 0 && notes === 0,
  `P18: ${SIGNALS} signals during a push end it with 130 or 143 and cancel its uploads`,
  `${problems.length} problems, slowest ${slowest.toFixed(2)} s, ${sessions} uploads left at the registry, ${notes} notes left here`,
);
