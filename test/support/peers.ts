import { existsSync } from "node:fs";
import { resolve } from "node:path";

/*
 * The programs that davit is tested with. Those of test/peers/go.mod are always there. The others
 * are on no registry: the first word of a test's title is the program that it needs,
 * `test.skipIf(absent("convox"))("convox build …", …)`, and is skipped where the program is not.
 */

const DIRECTORY = process.env["DAVIT_PEERS"] ?? resolve(import.meta.dir, "../../.tools/peers");

type Pinned = "buildctl" | "buildkitd" | "conformance" | "crane" | "oras" | "regctl" | "registry";
const OPTIONAL = ["convox", "zot"] as const;
type Optional = (typeof OPTIONAL)[number];

/** The path of a peer. Throws where it is absent. */
export function peer(name: Pinned | Optional): string {
  const path = found(name);
  if (path === undefined) throw new Error(`peer absent: there is no ${DIRECTORY}/${name}`);
  return path;
}

/** Tells whether this machine lacks a program that no registry has. */
export function absent(name: Optional): boolean {
  return found(name) === undefined;
}

/** Tells whether a test with this title may be skipped: its first word is a program that is absent. */
export function maySkip(title: string): boolean {
  return OPTIONAL.some((name) => title.startsWith(`${name} `) && absent(name));
}

/** Pinned peers are never taken from PATH, where another version may be. */
function found(name: Pinned | Optional): string | undefined {
  const path = `${DIRECTORY}/${name}`;
  if (existsSync(path)) return path;
  return OPTIONAL.some((one) => one === name) ? (Bun.which(name) ?? undefined) : undefined;
}
