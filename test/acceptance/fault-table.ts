import { mkdir, writeFile } from "node:fs/promises";
import { copy } from "../../src/oci/copy.ts";
import { LayoutStore } from "../../src/oci/layout-store.ts";
import { eachOf } from "../../src/oci/walk.ts";
import { bigArchive } from "../support/big-archive.ts";
import { bigImage } from "../support/big-image.ts";
import { davitCommand, sandbox } from "../support/davit.ts";
import { FaultRegistry } from "../support/fault-registry.ts";
import { faults } from "../support/faults.ts";
import { peer } from "../support/peers.ts";
import { verdict } from "./verdict.ts";

/*
 * Every fault of the scripted registry, RUNS times each, for davit and for the
 * peers: how often the image arrived whole, and what may be asked of
 * davit. A peer that is still at it after 40 s counts as one that does not give up.
 */
const RUNS = Number(process.env["RUNS"] ?? 20);
const PEER_RUNS = Number(process.env["PEER_RUNS"] ?? 3);
const PATIENCE = 40_000;
/** Some of the faults only, by name. */
const only = process.env["ONLY"]?.split(",");
const LAYER = 5 * 1024 * 1024;

using box = sandbox();
const archive = box.join("image.tar");
await bigArchive(archive, [LAYER, 1000]);
const image = await bigImage([LAYER, 1000]);
const root = await image.resolve("image");
await copy(image, root, new LayoutStore(box.join("layout")), { as: "v1" });
await using registry = await new FaultRegistry(faults).listen();
await mkdir(box.join("docker"));
await writeFile(box.join("docker/config.json"), "{}");

type Outcome = "whole" | "refused" | "hangs" | "wrong";
interface Client {
  name: string;
  push(ref: string): string[];
  pull(ref: string, out: string): string[];
}

const [davit = ""] = davitCommand();
const clients: Client[] = [
  {
    name: "davit",
    push: (ref) => [davit, "push", archive, ref],
    pull: (ref, out) => [davit, "pull", ref, "-o", out],
  },
];
clients.push({
  name: "skopeo",
  push: (ref) => [
    "skopeo",
    "copy",
    "-q",
    "--dest-tls-verify=false",
    `oci:${box.join("layout")}:v1`,
    `docker://${ref}`,
  ],
  pull: (ref, out) => ["skopeo", "copy", "-q", "--src-tls-verify=false", `docker://${ref}`, `oci:${out}:v1`],
});
const [crane, regctl, oras] = [peer("crane"), peer("regctl"), peer("oras")];
if (crane)
  clients.push({
    name: "crane",
    push: (ref) => [crane, "push", "--insecure", box.join("layout"), ref],
    pull: (ref, out) => [crane, "pull", "--insecure", "--format", "oci", ref, out],
  });
const tls = `reg=${registry.host},tls=disabled`;
clients.push({
  name: "regctl",
  push: (ref) => [regctl, "image", "copy", "--host", tls, `ocidir://${box.join("layout")}:v1`, ref],
  pull: (ref, out) => [regctl, "image", "copy", "--host", tls, ref, `ocidir://${out}:v1`],
});
clients.push({
  name: "oras",
  push: (ref) => [
    oras,
    "copy",
    "--no-tty",
    "--from-oci-layout",
    "--to-plain-http",
    `${box.join("layout")}:v1`,
    ref,
  ],
  pull: (ref, out) => [oras, "copy", "--no-tty", "--from-plain-http", "--to-oci-layout", ref, `${out}:v1`],
});

/** What davit must do about each: bring the image over whole, or refuse. */
const PUSHES: [fault: string, must: Outcome][] = [
  ["p1-503", "whole"],
  ["p2-429", "whole"],
  ["p2-date", "whole"],
  ["p2-day", "refused"],
  ["p3-408", "whole"],
  ["p4-500", "refused"],
  ["p5-rst", "whole"],
  ["p6-502", "whole"],
  ["p7-stall", "whole"],
  ["p7-forever", "refused"],
  ["p8-relative", "whole"],
  ["p8-absolute", "whole"],
  ["p8-query", "whole"],
  ["p9-other-host", "refused"],
  ["p10-none", "refused"],
  ["p11-half", "whole"],
  ["p12-digest", "refused"],
  ["p13-digest", "refused"],
  ["p14-503", "whole"],
  ["p14-rst", "whole"],
  ["p15-403", "refused"],
  ["p16-token", "whole"],
  ["p17-vanish", "whole"],
  ["q-ghcr", "whole"],
  ["q-proxy", "whole"],
  ["q-gar", "whole"],
  ["q-no-patch", "whole"],
  ["q-ecr", "whole"],
  ["q-scheme", "whole"],
  ["q-port", "whole"],
  ["q-no-head", "whole"],
  ["q-stale-state", "whole"],
];
const PULLS: [fault: string, must: Outcome][] = [
  ["l1-503", "whole"],
  ["l2-429", "whole"],
  ["l3-rst", "whole"],
  ["l4-close", "whole"],
  ["l5-rst", "refused"],
  ["l6-flip", "refused"],
  ["l7-flip", "whole"],
  ["l8-short", "refused"],
  ["l8-long", "refused"],
  ["l9-stall", "whole"],
  ["l10-redirect", "whole"],
  ["l11-manifest", "refused"],
  ["l12-endless", "refused"],
  ["l13-encoding", "whole"],
  ["l14-range", "whole"],
];

let count = 0;

/** Each fault is a host of its own to davit, which remembers what a host does. */
async function run(command: string[], fault: string, limit: number): Promise<number | "hangs"> {
  const child = Bun.spawn(command, {
    env: {
      ...box.env(),
      DAVIT_HOME: box.join(`home-${fault}`),
      DOCKER_CONFIG: box.join("docker"),
      DAVIT_IDLE_TIMEOUT: "2",
      HOME: box.path,
      XDG_RUNTIME_DIR: box.path,
    },
    stdout: "ignore",
    stderr: "ignore",
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), limit);
  const code = await child.exited;
  clearTimeout(timer);
  return child.signalCode === "SIGKILL" ? "hangs" : code;
}

async function push(client: Client, fault: string): Promise<Outcome> {
  const repository = `${fault}/${client.name}${++count}`;
  const code = await run(client.push(`${registry.host}/${repository}:v1`), fault, PATIENCE);
  if (code !== 0) registry.forget(repository);
  if (code === "hangs") return "hangs";
  if (code !== 0) return "refused";
  const { blobs, manifests } = registry.state(repository);
  const stored = manifests.get("v1");
  const named = stored ? JSON.parse(stored.bytes.toString()) : { layers: [] };
  const whole =
    stored !== undefined &&
    [named.config, ...named.layers].every(({ digest }: { digest: string }) => blobs.has(digest));
  registry.forget(repository);
  // A registry that says it stored something else must not be taken at its word.
  return whole && !["p12-digest", "p13-digest"].includes(fault) ? "whole" : "wrong";
}

async function pull(client: Client, fault: string): Promise<Outcome> {
  const repository = `${fault}/${client.name}${++count}`;
  const state = registry.state(repository);
  const bytes = Buffer.from(image.blobs.get(root.digest) ?? []);
  for (const [digest, blob] of image.blobs) state.blobs.set(digest, Buffer.from(blob));
  for (const name of ["v1", root.digest]) state.manifests.set(name, { type: root.mediaType, bytes });
  const out = box.join(`out${count}`);
  const code = await run(client.pull(`${registry.host}/${repository}:v1`, out), fault, PATIENCE);
  registry.forget(repository);
  if (code === "hangs") return "hangs";
  return code === 0 ? "whole" : "refused";
}

const rows: Record<string, Record<string, string>> = {};
async function table(
  list: [string, Outcome][],
  attempt: (client: Client, fault: string) => Promise<Outcome>,
): Promise<void> {
  for (const [fault, must] of list.filter(([name]) => !only || only.includes(name))) {
    const row: Record<string, string> = {};
    rows[fault] = row;
    const one = async (client: Client): Promise<void> => {
      const outcomes: Outcome[] = [];
      const runs = Array.from({ length: client.name === "davit" ? RUNS : PEER_RUNS }, (_, i) => i);
      await eachOf(runs, 4, async () => void outcomes.push(await attempt(client, fault)));
      const counts = Map.groupBy(outcomes, (outcome) => outcome);
      row[client.name] = [...counts].map(([outcome, those]) => `${those.length} ${outcome}`).join(", ");
      if (client.name !== "davit") return;
      verdict(
        outcomes.every((outcome) => outcome === must),
        `${fault}: ${must}`,
        row["davit"] ?? "",
      );
    };
    const [ours, ...theirs] = clients;
    if (ours) await one(ours);
    await Promise.all(theirs.map(one));
    const columns = theirs.map(({ name }) => `${name}: ${row[name]}`);
    process.stdout.write(`     ${columns.join(" | ")}\n`);
  }
}

await table(PUSHES, push);
await table(PULLS, pull);
await writeFile(
  process.env["OUT"] ?? box.join("table.json"),
  JSON.stringify({ runs: RUNS, peerRuns: PEER_RUNS, rows }, undefined, 1),
);
