import { mkdir, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { registryBench } from "../../bench/registry.ts";
import { peakMemory, seconds } from "../../bench/run.ts";
import { verdict } from "./verdict.ts";

/* The registry bench's ratios against what was asked for. ROUNDS=5 by default; every run is kept in bench/results. */
const rounds = Number(process.env["ROUNDS"] ?? 5);
const rows = await registryBench({
  rounds,
  scale: 1,
  onRound: (round) => process.stderr.write(`round ${round + 1} of ${rounds}\n`),
});
const results = resolve(import.meta.dir, "../../bench/results");
await mkdir(results, { recursive: true });
const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "");
await writeFile(`${results}/${stamp}-registry.json`, `${JSON.stringify(rows, undefined, 2)}\n`);

const s = (name: string): number => seconds(rows, name);
ratio("push ≤ 1.0 × regctl image import", 1.0, "davit push", "regctl push");
ratio("push ≤ 0.45 × skopeo copy oci-archive:", 0.45, "davit push", "skopeo push");
ratio("pull to a file ≤ 0.9 × regctl image export", 0.9, "davit pull", "regctl pull");
ratio("pull to a file ≤ 1.2 × crane pull --format oci", 1.2, "davit pull", "crane pull");
ratio(
  "our registry takes a push in ≤ 1.0 × distribution's time",
  1.0,
  "davit serves a push",
  "distribution serves a push",
);
ratio(
  "our registry serves a pull in ≤ 1.0 × distribution's time",
  1.0,
  "davit serves a pull",
  "distribution serves a pull",
);
const slower = Math.max(s("export alone"), s("import alone"));
verdict(
  s("export | import") <= 1.15 * slower,
  "export | import ≤ 1.15 × the slower of the two alone",
  `${(s("export | import") / slower).toFixed(3)} (${s("export | import").toFixed(2)} s against ${slower.toFixed(2)} s)`,
);
const ours = rows.map((row) =>
  Object.fromEntries(Object.entries(row).filter(([name]) => /^davit p|^(ex|im)port alone/.test(name))),
);
verdict(peakMemory(ours) < 128, "peak memory < 128 MiB", `${peakMemory(ours).toFixed(0)} MiB`);

function ratio(line: string, limit: number, ours_: string, theirs: string): void {
  const value = s(ours_) / s(theirs);
  verdict(
    value <= limit,
    line,
    `${value.toFixed(3)} (${s(ours_).toFixed(2)} s against ${s(theirs).toFixed(2)} s)`,
  );
}
