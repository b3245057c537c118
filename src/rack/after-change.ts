import type { EmbeddedParts } from "./embedded-parts.ts";

/**
 * After a change of the rack: does what commits owe, and what processes that are gone have
 * left of deletions, and of this app. Servers come to that by themselves. Never throws.
 */
export async function afterChange(parts: EmbeddedParts, app?: string): Promise<void> {
  if (!parts.upkeep.hasServer)
    await parts.after.attempt("Cannot see what stopped processes have left", () => settleLeft(parts, app));
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
