import { existsSync } from "node:fs";
import { rename } from "node:fs/promises";
import { DavitError } from "../errors.ts";
import type { Env } from "./home.ts";
import type { Ledger } from "./ledger.ts";
import type { RackFact } from "./rack-facts.ts";
import { Seal } from "./seal.ts";

/** The fact that names the key. */
export const KEY_ID = "key" satisfies RackFact;

/** Where a new key waits until the ledger is sealed with it. */
export function nextKey(path: string): string {
  return `${path}.next`;
}

/** A rack that was restored without its key must not be given another one. */
export async function openSeal(ledger: Ledger, name: string, path: string, env: Env): Promise<Seal> {
  const known = await ledger.known(KEY_ID);
  const fromEnv = env["DAVIT_KEY"];
  const lost = known !== undefined && !fromEnv && !existsSync(path) && !existsSync(nextKey(path));
  const seal = lost ? undefined : await openKey(path, fromEnv, known);
  if (known === undefined && seal) await ledger.setFact(KEY_ID, seal.id);
  if (seal && (known === undefined || known === seal.id)) return seal;
  throw new DavitError(
    "denied",
    `Cannot open rack ${name}: it was sealed with key ${known}, ${seal ? `this is key ${seal.id}` : "and that is not here"}`,
    { hint: `put the right key into ${path}, or set DAVIT_KEY` },
  );
}

/** A change of keys may have been stopped after the ledger had it: then the next key is the key. */
async function openKey(path: string, fromEnv: string | undefined, known: string | undefined): Promise<Seal> {
  const next = nextKey(path);
  if (!fromEnv && known !== undefined && existsSync(next)) {
    const waiting = await Seal.open(next, undefined);
    if (waiting.id === known) {
      await rename(next, path);
      return waiting;
    }
  }
  return await Seal.open(path, fromEnv);
}
