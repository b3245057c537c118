import type { ByteStream } from "../bytes.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { CopyPlan } from "../oci/plan.ts";
import type { ReadStore } from "../oci/store.ts";
import { bytes } from "../terminal/time.ts";
import type { Context, Input } from "./command.ts";
import { json } from "./show.ts";

/** Prints what would move, in bytes. */
export function showCopyPlan(plan: CopyPlan, input: Input, context: Context): void {
  if (input.on("json")) {
    json(context, plan);
    return;
  }
  context.stdout.line(`move      ${bytes(plan.move)}`);
  context.stdout.line(`present   ${bytes(plan.present)}`);
  context.stdout.line(`mountable ${bytes(plan.mountable)}`);
}

/** A place that has just these blobs. */
function having(digests: ReadonlySet<string>): ReadStore {
  const absent = async (): Promise<never> => {
    const { DavitError } = await import("../errors.ts");
    throw new DavitError("not-found", "Cannot read: this is a list, not a store");
  };
  return {
    resolve: absent,
    fetch: absent,
    exists: async ({ digest }) => (digests.has(digest) ? "yes" : "no"),
  };
}

export async function planRegistryImport(
  store: ReadStore,
  root: Descriptor,
  have: ReadonlySet<string>,
  input: Input,
  context: Context,
): Promise<void> {
  const { planCopy } = await import("../oci/plan.ts");
  showCopyPlan(await planCopy(store, [root], having(have)), input, context);
}

/** Reads an archive's headers only: what its blobs are called says whether they are here. */
export async function planArchiveImport(
  stream: ByteStream,
  have: ReadonlySet<string>,
  input: Input,
  context: Context,
): Promise<void> {
  const [{ readTar }, { decompressed }] = await Promise.all([
    import("../tar/read.ts"),
    import("../compression.ts"),
  ]);
  const plan: CopyPlan = { move: 0, present: 0, mountable: 0 };
  for await (const entry of readTar(decompressed(stream))) {
    const [, algorithm, hex] = /^(?:\.\/)*blobs\/([^/]+)\/([^/]+)$/.exec(entry.name) ?? [];
    if (entry.type !== "file") continue;
    plan[algorithm !== undefined && have.has(`${algorithm}:${hex}`) ? "present" : "move"] += entry.size;
  }
  showCopyPlan(plan, input, context);
}
