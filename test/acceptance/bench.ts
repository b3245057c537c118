import { mkdir, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { bench, peakMemory, seconds } from "../../bench/run.ts";
import { verdict } from "./verdict.ts";

/* The bench's ratios against what was asked for. ROUNDS=5 by default; every run is kept in bench/results. */
const rounds = Number(process.env["ROUNDS"] ?? 5);
const rows = await bench({
  rounds,
  scale: 1,
  onRound: (round) => process.stderr.write(`round ${round + 1} of ${rounds}\n`),
});
const results = resolve(import.meta.dir, "../../bench/results");
await mkdir(results, { recursive: true });
await writeFile(
  `${results}/${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.json`,
  `${JSON.stringify(rows, undefined, 2)}\n`,
);

const s = (name: string): number => seconds(rows, name);
ratio("first build ≤ 0.6 × docker push", 0.6, "davit build, first", "docker push");
const over = s("davit build, unchanged") - s("engine alone");
verdict(
  over <= 1,
  "unchanged build ≤ 1 s over the engine's own time",
  `${over.toFixed(2)} s (${s("davit build, unchanged").toFixed(2)} s against ${s("engine alone").toFixed(2)} s)`,
);
ratio(
  "one small layer changed ≤ 0.5 × the first",
  0.5,
  "davit build, one layer changed",
  "davit build, first",
);
ratio("export to a file ≤ 0.25 × skopeo copy docker:// oci-archive:", 0.25, "davit export", "skopeo export");
ratio("import from a pipe ≤ 0.4 × skopeo copy oci-archive: docker://", 0.4, "davit import", "skopeo import");
verdict(peakMemory(rows) < 128, "peak memory < 128 MiB", `${peakMemory(rows).toFixed(0)} MiB`);
process.stdout.write(
  `beside it: docker save ${s("docker save").toFixed(2)} s; medians of ${rounds} interleaved rounds\n`,
);

function ratio(line: string, limit: number, ours: string, theirs: string): void {
  const value = s(ours) / s(theirs);
  verdict(
    value <= limit,
    line,
    `${value.toFixed(3)} (${s(ours).toFixed(2)} s against ${s(theirs).toFixed(2)} s)`,
  );
}
