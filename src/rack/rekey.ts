import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { DavitError, hasCode } from "../errors.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { KEY_ID, nextKey } from "./rack-key.ts";
import { Seal } from "./seal.ts";
import { SecretLedger } from "./secret-ledger.ts";

/** Others may set a secret between our look and our write; then we look again. */
const TRIES = 10;

/**
 * Seals everything with another key. The new one is on disk before the ledger speaks of
 * it, and takes the old one's place after: whatever moment this is stopped at, a key
 * that opens the rack is there under one of the two names.
 *
 * `given` is the new key, 32 bytes in base64; without it one is made. Returns its id.
 */
export async function rekey(
  { ledger, seal: old, dir, after }: Pick<EmbeddedParts, "ledger" | "seal" | "dir" | "after">,
  given?: string,
): Promise<string> {
  const path = join(dir, "key");
  const next = nextKey(path);
  await rm(next, { force: true });
  const fresh = await Seal.make(next, given).catch(async (error: unknown) => {
    await rm(next, { force: true });
    throw error;
  });
  try {
    if (fresh.id === old.id)
      throw new DavitError("conflict", "Cannot change the rack's key: it is the same key");
    await sealAnew(new SecretLedger(ledger.db), old, fresh);
  } catch (error) {
    // A commit that was not answered may have happened: then this is the key.
    if ((await ledger.known(KEY_ID).catch(() => fresh.id)) !== fresh.id) await rm(next, { force: true });
    throw error;
  }
  await after.attempt(`the new key is in ${next} until the rack is opened next`, () => rename(next, path));
  return fresh.id;
}

async function sealAnew(secrets: SecretLedger, old: Seal, fresh: Seal): Promise<void> {
  for (let tries = 1; ; tries++) {
    const before = await secrets.list();
    const after = await Promise.all(
      before.map(async ({ place, text }) => await fresh.seal(await old.open(text, place), place)),
    );
    try {
      return await secrets.replace(before, after, KEY_ID, fresh.id);
    } catch (error) {
      if (!hasCode(error, "outdated") || tries === TRIES) throw error;
    }
  }
}
