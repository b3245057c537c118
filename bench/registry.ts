import { mkdir, rm } from "node:fs/promises";
import { DOCKER, davitCommand, sh } from "../test/support/davit.ts";
import { peer } from "../test/support/peers.ts";
import { freePort } from "../test/support/registry.ts";
import { tempDir } from "../test/support/temp.ts";
import { writeImageContext } from "./image.ts";
import { measure } from "./measure.ts";
import type { Row } from "./run.ts";

/* davit beside regctl, crane and skopeo into and out of distribution, and davit's registry beside distribution's, with the same clients. */

export interface RegistryBenchOptions {
  rounds: number;
  scale: number;
  onRound?: (round: number) => void;
}

type Dir = ReturnType<typeof tempDir>;

interface Running extends AsyncDisposable {
  host: string;
}

/** A registry with nothing in it: davit's, or distribution's. */
async function fresh(dir: Dir, kind: "davit" | "distribution"): Promise<Running> {
  const data = dir.join("registry");
  await rm(data, { recursive: true, force: true });
  await rm("/var/lib/containers/cache", { recursive: true, force: true });
  await mkdir(data, { recursive: true });
  const host = `127.0.0.1:${await freePort()}`;
  const config = `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${data}}}\nhttp: {addr: "${host}"}\n`;
  await Bun.write(dir.join("registry.yml"), config);
  const [davit = ""] = davitCommand();
  const command =
    kind === "davit"
      ? [davit, "registry", "serve", data, "--listen", host]
      : [peer("registry"), "serve", dir.join("registry.yml")];
  const server = Bun.spawn(command, { stdout: "ignore", stderr: "ignore" });
  // What was just deleted is work for the disk too.
  Bun.spawnSync(["sync"]);
  await Bun.sleep(1000);
  const up = () =>
    fetch(`http://${host}/v2/`).then(
      () => true,
      () => false,
    );
  for (let tries = 0; tries < 100 && !(await up()); tries++) await Bun.sleep(50);
  return {
    host,
    [Symbol.asyncDispose]: async () => {
      server.kill();
      await server.exited;
    },
  };
}

export async function registryBench(options: RegistryBenchOptions): Promise<Row[]> {
  using dir = tempDir();
  const archive = await benchArchive(dir, options.scale);
  const rows: Row[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const row: Row = {};
    await pushes(dir, archive, row, round);
    await servers(dir, archive, row, round);
    await piped(dir, archive, row);
    rows.push(row);
    options.onRound?.(round);
  }
  return rows;
}

/** The image of the build bench as an OCI archive, named v1. */
async function benchArchive(dir: Dir, scale: number): Promise<string> {
  const [davit = ""] = davitCommand();
  const context = dir.join("context");
  await writeImageContext(context, scale);
  await sh([DOCKER, "build", "-q", "-t", "davit-bench-registry", context], {
    env: { ...process.env, DOCKER_BUILDKIT: "1" },
  });
  await rm(context, { recursive: true });
  await sh([davit, "copy", "docker:davit-bench-registry", `archive:${dir.join("image.tar")}:v1`]);
  await sh([DOCKER, "rmi", "-f", "davit-bench-registry"]);
  return dir.join("image.tar");
}

/** Whoever goes first meets another disk than whoever goes last, so they take turns. */
function rotated<T>(list: readonly T[], by: number): T[] {
  const at = by % list.length;
  return [...list.slice(at), ...list.slice(0, at)];
}

/** Each client pushes into a distribution that has nothing, and the last one's image is pulled by all. */
async function pushes(dir: Dir, archive: string, row: Row, round: number): Promise<void> {
  const [davit = ""] = davitCommand();
  const [regctl, crane] = [peer("regctl"), peer("crane")];
  const env = { ...process.env, DAVIT_HOME: dir.join("home"), DOCKER_CONFIG: dir.path };
  const clients: [string, (host: string) => string[]][] = [
    ["davit push", (host) => [davit, "push", archive, `${host}/bench/app:v1`]],
    [
      "skopeo push",
      (host) => [
        "skopeo",
        "copy",
        "-q",
        "--dest-tls-verify=false",
        `oci-archive:${archive}:v1`,
        `docker://${host}/bench/app:v1`,
      ],
    ],
  ];
  clients.push(["regctl push", (host) => regctlPush(host, archive)]);
  for (const [name, command] of rotated(clients, round)) {
    await using registry = await fresh(dir, "distribution");
    row[name] = await measure(command(registry.host), { env });
  }
  await using registry = await fresh(dir, "distribution");
  const { host } = registry;
  await sh([davit, "push", archive, `${host}/bench/app:v1`], { env });
  const out = dir.join("out");
  const pull = async (name: string, command: string[]): Promise<void> => {
    row[name] = await measure(command, { env });
    await rm(out, { recursive: true, force: true });
  };
  const pulls: [string, string[]][] = [["davit pull", [davit, "pull", `${host}/bench/app:v1`, "-o", out]]];
  const plain = ["--host", `reg=${host},tls=disabled`];
  pulls.push(["regctl pull", [regctl, "image", "export", ...plain, `${host}/bench/app:v1`, out]]);
  pulls.push(["crane pull", [crane, "pull", "--insecure", "--format", "oci", `${host}/bench/app:v1`, out]]);
  for (const [name, command] of rotated(pulls, round)) await pull(name, command);
}

function regctlPush(host: string, archive: string): string[] {
  const to = `${host}/bench/app:v1`;
  return [peer("regctl"), "image", "import", "--host", `reg=${host},tls=disabled`, to, archive];
}

/** The same clients, davit's registry and distribution's in turn. */
async function servers(dir: Dir, archive: string, row: Row, round: number): Promise<void> {
  const crane = peer("crane");
  const env = { ...process.env, DOCKER_CONFIG: dir.path };
  for (const kind of rotated(["davit", "distribution"] as const, round)) {
    await using registry = await fresh(dir, kind);
    const { host } = registry;
    row[`${kind} serves a push`] = await measure(regctlPush(host, archive), { env });
    const pull = [crane, "pull", "--insecure", "--format", "oci", `${host}/bench/app:v1`, dir.join("out")];
    row[`${kind} serves a pull`] = await measure(pull, { env });
    await rm(dir.join("out"), { recursive: true, force: true });
  }
}

/** `export | import` beside each of the two alone. */
async function piped(dir: Dir, archive: string, row: Row): Promise<void> {
  const [davit = ""] = davitCommand();
  const env = { ...process.env, DAVIT_HOME: dir.join("home") };
  const fresh_ = async () => {
    await rm(dir.join("home"), { recursive: true, force: true });
    await sh([davit, "racks", "add", "west"], { env });
    await sh([davit, "builds", "import", "-a", "bench", "-f", archive], { env });
    const [build] = JSON.parse(await sh([davit, "builds", "-a", "bench", "--json"], { env }));
    return String(build.id);
  };
  const id = await fresh_();
  const bundle = dir.join("bundle.tar");
  row["export alone"] = await measure([davit, "builds", "export", id, "-a", "bench", "-f", bundle], { env });
  row["import alone"] = await measure([davit, "builds", "import", "-a", "bench", "-r", "west"], {
    env,
    piped: bundle,
  });
  await rm(bundle);
  const again = await fresh_();
  const pipe = `set -o pipefail; "$0" builds export ${again} -a bench | "$0" builds import -a bench -r west`;
  row["export | import"] = await measure(["bash", "-c", pipe, davit], { env });
  await rm(dir.join("home"), { recursive: true, force: true });
}
