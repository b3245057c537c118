import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { median } from "../test/acceptance/verdict.ts";
import { DOCKER, davitCommand, sh } from "../test/support/davit.ts";
import { freePort } from "../test/support/registry.ts";
import { tempDir } from "../test/support/temp.ts";
import { writeImageContext } from "./image.ts";
import { type Measured, measure } from "./measure.ts";

/* davit beside its peers on one realistic image, interleaved, every run kept. Needs an engine, docker-registry and skopeo. */

export type Row = Record<string, Measured>;

const BASE = "davit-bench-base";

export interface BenchOptions {
  rounds: number;
  scale: number;
  /** Leave the peers out: memory is davit's alone. */
  alone?: boolean;
  onRound?: (round: number, row: Row) => void;
}

/** Runs the rounds and returns each round's measurements by name. */
export async function bench(options: BenchOptions): Promise<Row[]> {
  using dir = tempDir();
  const rows: Row[] = [];
  const context = dir.join("context");
  await writeImageContext(context, options.scale);
  const docker = { env: { ...process.env, DOCKER_BUILDKIT: "1" } };
  await sh([DOCKER, "build", "-q", "-t", BASE, context], docker);
  await rm(context, { recursive: true });
  const app = dir.join("app");
  await mkdir(app);
  await writeFile(join(app, "Dockerfile"), `FROM ${BASE}\nCOPY app.txt /app.txt\n`);
  await writeFile(join(app, "convox.yml"), "services:\n  web:\n    build: .\n");
  for (let round = 0; round < options.rounds; round++) {
    const row = await oneRound(dir, app, round, options.alone ?? false);
    rows.push(row);
    options.onRound?.(round, row);
  }
  await sh([DOCKER, "rmi", "-f", BASE]);
  return rows;
}

async function oneRound(
  dir: ReturnType<typeof tempDir>,
  app: string,
  round: number,
  alone: boolean,
): Promise<Row> {
  const [davit = ""] = davitCommand();
  const row: Row = {};
  const home = (name: string) => ({ ...process.env, DAVIT_HOME: dir.join(name) });
  const build = () => measure([davit, "build", "-a", "bench"], { cwd: app, env: home("home") });
  const docker = { cwd: app, env: { ...process.env, DOCKER_BUILDKIT: "1" } };
  await rm(dir.join("home"), { recursive: true, force: true });
  await writeFile(join(app, "app.txt"), `round ${round}\n`);
  await measure([DOCKER, "build", "-q", "-t", "davit-bench-app", "."], docker);

  row["davit build, first"] = await build();
  row["engine alone"] = await measure([DOCKER, "build", "-q", "."], docker);
  row["davit build, unchanged"] = await build();
  await writeFile(join(app, "app.txt"), `round ${round}, changed\n`);
  row["davit build, one layer changed"] = await build();

  const builds = JSON.parse(await sh([davit, "builds", "-a", "bench", "--json"], { env: home("home") }));
  const file = dir.join("bundle.tar");
  const id: string = builds[0].id;
  row["davit export"] = await measure([davit, "builds", "export", id, "-a", "bench", "-f", file], {
    env: home("home"),
  });
  await rm(dir.join("west"), { recursive: true, force: true });
  row["davit import"] = await measure([davit, "builds", "import", "-a", "bench"], {
    env: home("west"),
    piped: file,
  });
  if (!alone) await peers(dir, row, file, `web.${id}`);
  for (const path of ["west", "home", "bundle.tar"])
    await rm(dir.join(path), { recursive: true, force: true });
  await sh([DOCKER, "rmi", "-f", "davit-bench-app"]);
  return row;
}

/** docker and skopeo do the same with an empty registry of Debian's, and no cache of what it held before. */
async function peers(dir: ReturnType<typeof tempDir>, row: Row, bundle: string, ref: string): Promise<void> {
  const port = await freePort();
  const data = dir.join("registry");
  await mkdir(data, { recursive: true });
  const config = `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${data}}}\nhttp: {addr: "127.0.0.1:${port}"}\n`;
  await writeFile(dir.join("registry.yml"), config);
  const registry = Bun.spawn(["docker-registry", "serve", dir.join("registry.yml")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  await Bun.sleep(500);
  const empty = async () => {
    await rm(join(data, "docker"), { recursive: true, force: true });
    await rm("/var/lib/containers/cache", { recursive: true, force: true });
  };
  const image = `127.0.0.1:${port}/bench${crypto.randomUUID().slice(0, 8)}:1`;
  try {
    await sh([DOCKER, "tag", "davit-bench-app", image]);
    row["docker push"] = await measure([DOCKER, "push", "-q", image]);
    row["docker save"] = await measure([DOCKER, "save", "-o", dir.join("save.tar"), "davit-bench-app"]);
    const archive = dir.join("skopeo.tar");
    row["skopeo export"] = await measure([
      "skopeo",
      "copy",
      "-q",
      "--src-tls-verify=false",
      `docker://${image}`,
      `oci-archive:${archive}:x`,
    ]);
    await empty();
    const to = `docker://127.0.0.1:${port}/import:1`;
    row["skopeo import"] = await measure([
      "skopeo",
      "copy",
      "-q",
      "--dest-tls-verify=false",
      `oci-archive:${bundle}:${ref}`,
      to,
    ]);
  } finally {
    await sh([DOCKER, "rmi", "-f", image]).catch(() => "");
    registry.kill();
    await registry.exited;
    for (const path of ["registry", "save.tar", "skopeo.tar"])
      await rm(dir.join(path), { recursive: true, force: true });
  }
}

export function seconds(rows: Row[], name: string): number {
  return median(rows.map((row) => row[name]?.seconds ?? Number.NaN));
}

/** The highest peak of any davit command in any round, in MiB. */
export function peakMemory(rows: Row[]): number {
  return Math.max(
    ...rows.flatMap((row) =>
      Object.entries(row).map(([name, { mib }]) => (name.startsWith("davit") ? mib : 0)),
    ),
  );
}

if (import.meta.main) {
  const rounds = Number(process.argv[2] ?? 5);
  const rows = await bench({
    rounds,
    scale: 1,
    onRound: (round) => process.stderr.write(`round ${round + 1} of ${rounds}\n`),
  });
  const path = resolve(
    import.meta.dir,
    "results",
    `${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.json`,
  );
  await writeFile(path, `${JSON.stringify(rows, undefined, 2)}\n`);
  for (const name of Object.keys(rows[0] ?? {})) {
    const mib = Math.max(...rows.map((row) => row[name]?.mib ?? 0));
    console.log(
      `${name.padEnd(32)} ${seconds(rows, name).toFixed(2).padStart(7)} s  ${mib.toFixed(0).padStart(5)} MiB`,
    );
  }
}
