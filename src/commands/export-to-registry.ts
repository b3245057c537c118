import { registryPlace } from "../bundle/place.ts";
import { hasCode } from "../errors.ts";
import { copy } from "../oci/copy.ts";
import { planCopy } from "../oci/plan.ts";
import type { RegistryStore } from "../oci/registry-store.ts";
import type { BuildSource } from "../rack/rack.ts";
import type { Context, Input } from "./command.ts";
import { showCopyPlan } from "./plans.ts";
import { step } from "./show.ts";
import { copyProgress, openRegistry } from "./transfer.ts";

/** Pushes builds into a repository: each index under the build's id or the tag given, each image as `<service>.<id>`. */
export async function exportToRegistry(to: string, input: Input, context: Context): Promise<void> {
  const { reference, named } = registryPlace(to);
  const store = await openRegistry(reference, input, context, { push: true });
  const rack = await context.rack();
  const app = await context.appName();
  for (const id of input.args) {
    const tag = named && reference.tag !== undefined ? reference.tag : id;
    await rack.readBuild(app, id, async (source) => {
      const roots = [source.index, ...source.images.values()];
      if (input.on("plan")) {
        showCopyPlan(await planCopy(source.store, roots, store), input, context);
        return;
      }
      const what = `Exporting build ${id} to ${reference.host}/${reference.repository}:${tag}`;
      await step(context.stdout, what, () => pushBuild(source, store, tag, context));
      context.progress.clear();
    });
  }
}

/** A registry that refuses the index gets the images alone; the record stays in the rack. */
async function pushBuild(
  source: BuildSource,
  store: RegistryStore,
  tag: string,
  context: Context,
): Promise<void> {
  const on = copyProgress("Exporting", context);
  for (const [service, image] of source.images)
    await copy(source.store, image, store, { as: `${service}.${source.id}`, referrers: true, on });
  try {
    await copy(source.store, source.index, store, { as: tag, referrers: true, on });
  } catch (error) {
    if (!hasCode(error, "registry")) throw error;
    context.stderr.line(
      `warning: ${error.message}; the images are there, the build's record stays in the rack`,
    );
  }
}
