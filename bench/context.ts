import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DOCKER, davitCommand, sh } from "../test/support/davit.ts";
import { startRegistry } from "../test/support/registry.ts";
import { tempDir } from "../test/support/temp.ts";
import { type Measured, measure } from "./measure.ts";
import { writeProject } from "./project.ts";
import { type Row, seconds } from "./run.ts";

/*
 * Builds whose source is what is large: `davit build`, into a rack and with its release, beside
 * `docker build` and `docker push` to Debian's registry, on directories of the same shape with
 * other random bytes in each, so that neither finds what the other has sent.
 */

export interface ContextBench {
  rounds: number;
  files: number;
  /** Of all files together. */
  bytes: number;
  onRound?: (round: number, row: Row) => void;
}

const DOCKERFILE = "FROM scratch\nCOPY . /src\n";

export async function benchContext(options: ContextBench): Promise<Row[]> {
  await using registry = await startRegistry();
  const rows: Row[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const row = await oneRound(options, registry.host, round);
    rows.push(row);
    options.onRound?.(round, row);
  }
  return rows;
}

async function oneRound({ files, bytes }: ContextBench, host: string, round: number): Promise<Row> {
  using dir = tempDir();
  const [davit = ""] = davitCommand();
  const row: Row = {};
  const [ours, theirs] = [dir.join("ours"), dir.join("theirs")];
  for (const root of [ours, theirs]) await writeProject(root, files, bytes, DOCKERFILE);
  const image = `${host}/context${round}-${crypto.randomUUID().slice(0, 8)}:1`;
  const env = { ...process.env, DOCKER_BUILDKIT: "1", DAVIT_HOME: dir.join("home") };
  const byDavit = () => measure([davit, "build", "-a", "bench", "--id"], { cwd: ours, env });
  const byDocker = async (): Promise<Measured> => {
    const build = await measure([DOCKER, "build", "-q", "-t", image, "."], { cwd: theirs, env });
    const push = await measure([DOCKER, "push", "-q", image], { env });
    return { seconds: build.seconds + push.seconds, mib: Math.max(build.mib, push.mib) };
  };
  for (const what of ["first", "unchanged", "one file changed"]) {
    if (what === "one file changed")
      for (const root of [ours, theirs])
        await writeFile(join(root, "0/0"), crypto.getRandomValues(new Uint8Array(2_000)));
    const both: [string, () => Promise<Measured>][] = [
      [`davit build, ${what}`, byDavit],
      [`docker build and push, ${what}`, byDocker],
    ];
    for (const [name, run] of round % 2 === 0 ? both : both.reverse()) row[name] = await run();
  }
  await sh([DOCKER, "rmi", "-f", image]).catch(() => "");
  await sh([DOCKER, "builder", "prune", "-af"]).catch(() => "");
  return row;
}

if (import.meta.main) {
  const [files = 1000, megabytes = 200, rounds = 5] = process.argv.slice(2).map(Number);
  const rows = await benchContext({
    ...{ rounds, files, bytes: megabytes * 1_000_000 },
    onRound: (round) => process.stderr.write(`round ${round + 1} of ${rounds}\n`),
  });
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "");
  const path = resolve(import.meta.dir, "results", `${stamp}-context-${files}.json`);
  await writeFile(path, `${JSON.stringify(rows, undefined, 2)}\n`);
  for (const name of Object.keys(rows[0] ?? {}).sort()) {
    const mib = Math.max(...rows.map((row) => row[name]?.mib ?? 0));
    console.log(
      `${name.padEnd(40)} ${seconds(rows, name).toFixed(2).padStart(7)} s  ${mib.toFixed(0).padStart(5)} MiB`,
    );
  }
}
