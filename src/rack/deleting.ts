import { reasonOf } from "../errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { Hold } from "./hold.ts";
import type { Promotion } from "./promotion-ledger.ts";
import { forgetImages } from "./run-images.ts";

/** Deletes an app: marks it as deleting, removes what runs of it, then its records. After a stop the next process that changes the rack goes on with it. */
export async function deleteApp(parts: EmbeddedParts, app: string): Promise<void> {
  await parts.ledger.builds.failAbandoned();
  await finishDeletion(parts, await parts.ledger.promotions.beginRemoval(app));
}

/** Removes what runs of an app, and its records. Where that fails, the app stays `deleting`, and the next process that changes the rack tries again. */
export async function finishDeletion(parts: EmbeddedParts, deletion: Promotion): Promise<void> {
  const { promotions } = parts.ledger;
  using hold = new Hold(promotions, deletion);
  try {
    const runtime = await parts.runtime();
    if (runtime) await removeRunning(parts, runtime, hold);
    await hold.check();
    await promotions.remove(deletion);
  } catch (error) {
    await promotions.leave(deletion, `it is not gone yet: ${reasonOf(error)}`).catch(() => undefined);
    throw error;
  }
}

async function removeRunning(parts: EmbeddedParts, runtime: Runtime, hold: Hold): Promise<void> {
  const { app } = hold.promotion;
  await hold.check();
  await runtime.remove(app, hold.lost);
  await parts.after.attempt(`the engine still names images of app ${app}`, () =>
    forgetImages(parts, runtime, app, []),
  );
}
