import { newId } from "../../src/rack/ids.ts";
import { Ledger } from "../../src/rack/ledger.ts";
import { davitCommand, sandbox } from "../support/davit.ts";
import { median, verdict } from "./verdict.ts";

/* How long a person waits for nothing: the binary's own start, and a list out of 10,000 builds. */
const RUNS = 31;
using box = sandbox();
await box.ok(["apps", "create", "shop"]);
const ledger = await Ledger.open({ path: box.join("home/racks/local/ledger.db") });
for (let i = 0; i < 10_000; i++) {
  const id = newId("B");
  await ledger.builds.start({
    id,
    app: "shop",
    description: `build ${i}`,
    gitSha: "",
    wildcardDomain: false,
  });
  await ledger.builds.fail(id, "made for a measurement");
}
await ledger.close();

const version = time(["--version"]);
verdict(version <= 15, "davit --version in at most 15 ms", `${version.toFixed(1)} ms (median of ${RUNS})`);
const builds = time(["builds", "-a", "shop"]);
verdict(
  builds <= 60,
  "davit builds with 10,000 builds in at most 60 ms",
  `${builds.toFixed(1)} ms (median of ${RUNS})`,
);

function time(args: string[]): number {
  const runs: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    const began = performance.now();
    const { exitCode } = Bun.spawnSync([...davitCommand(), ...args], { env: box.env(), cwd: box.path });
    if (exitCode !== 0) throw new Error(`davit ${args.join(" ")} exited ${exitCode}`);
    runs.push(performance.now() - began);
  }
  return median(runs);
}
