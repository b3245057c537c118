import { startTarget } from "../support/target.ts";
import { peakMemory, watch } from "../support/watch.ts";
import { fuzzers } from "./fuzz/inputs.ts";
import { random, verdict } from "./verdict.ts";

/* One kind of input against a live server, for so many minutes: no crash, no freeze, no answer 500, bounded memory. */
const MAX_CHECK = 250;
const MAX_MEMORY = 192;

const [name = process.env["FUZZ"] ?? "", minutes = "2", given] = process.argv.slice(2);
const send = fuzzers[name];
if (!send) {
  process.stderr.write(`there is no fuzz ${name}; there is ${Object.keys(fuzzers).join(", ")}\n`);
  process.exit(2);
}
const seed = Number(given ?? Math.floor(Math.random() * 2 ** 31));
process.stdout.write(`seed ${seed} (fuzz ${name} ${minutes} ${seed} repeats this run)\n`);

const next = random(seed);
await using target = await startTarget();
const watcher = watch(target);
const end = Date.now() + Number(minutes) * 60_000;
const bad: string[] = [];
let [inputs, errors] = [0, 0];
while (Date.now() < end && bad.length < 20) {
  // Each input has a seed of its own, so that one alone can be sent again.
  const own = Math.floor(next() * 2 ** 31);
  inputs++;
  const statuses = await send(random(own), target).catch((error: unknown) => [String(error)]);
  const failed = statuses.filter((status) => typeof status === "string" || (status >= 500 && status !== 501));
  errors += failed.length;
  if (failed.length > 0) bad.push(`input ${inputs} (its seed ${own}): ${failed.join(", ")}`);
}
const seen = await watcher.stop();
const peak = await peakMemory(target.pid);
for (const line of bad) process.stderr.write(`${line}\n`);
const calm = seen.failures === 0 && seen.held < MAX_CHECK;
const figure = `${inputs} inputs, seed ${seed}, slowest check ${seen.slowest.toFixed(0)} ms (${seen.held.toFixed(0)} ms without waiting for a processor, idle server ${seen.control.toFixed(0)} ms), peak RSS ${peak.toFixed(0)} MiB, 5xx ${errors}`;
verdict(calm && peak < MAX_MEMORY && errors === 0 && inputs > 0, `fuzz ${name}`, figure);
