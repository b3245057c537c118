import type { EmbeddedParts } from "./embedded-parts.ts";

/**
 * To be called after each change of the rack, of `app` where the change was one app's. Does what
 * commits owe, and goes on with deletions, and with a promotion of this app, whose process is gone.
 * Where a server runs, that does the latter by itself. Never throws.
 */
export async function afterChange(parts: EmbeddedParts, app?: string): Promise<void> {
  if (!parts.upkeep.hasServer)
    await parts.after.attempt("Cannot look for what stopped processes have left", () =>
      settleLeft(parts, app),
    );
  await parts.upkeep.run();
}

async function settleLeft(parts: EmbeddedParts, app: string | undefined): Promise<void> {
  for (const left of await parts.ledger.promotions.abandoned()) {
    if (left.app !== app && left.phase !== "deleting") continue;
    const { settleApp } = await import("./promoting.ts");
    const undone = left.phase === "deleting" ? "is not deleted yet" : "is in between two releases";
    await parts.after.attempt(`app ${left.app} ${undone}`, () => settleApp(parts, left.app));
  }
}
