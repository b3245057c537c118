import { bench, peakMemory } from "../../bench/run.ts";
import { verdict } from "./verdict.ts";

/* Memory must not grow with the image: the bench's sequence once more, with 4 GB of it. */
const SCALE = 6.5;
const rows = await bench({ rounds: 1, scale: SCALE, alone: true });
for (const [name, { seconds, mib }] of Object.entries(rows[0] ?? {}))
  process.stdout.write(`${name}: ${seconds.toFixed(1)} s, ${mib.toFixed(0)} MiB\n`);
verdict(peakMemory(rows) < 128, "peak memory < 128 MiB at 4 GB", `${peakMemory(rows).toFixed(0)} MiB`);
