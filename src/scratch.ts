import { rm } from "node:fs/promises";

/** Removes a scratch directory. What stays of it is no failure of what was done with it. */
export async function removeScratch(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(() => undefined);
}
