import { existsSync } from "node:fs";
import { DavitError } from "../errors.ts";
import type { Env } from "./home.ts";
import type { Ledger } from "./ledger.ts";
import { Seal } from "./seal.ts";

/** The fact that names the key. */
const KEY_ID = "key";

/** A rack that was restored without its key must not be given another one. */
export async function openSeal(ledger: Ledger, name: string, path: string, env: Env): Promise<Seal> {
  const known = await ledger.known(KEY_ID);
  const fromEnv = env["DAVIT_KEY"];
  const lost = known !== undefined && !fromEnv && !existsSync(path);
  const seal = lost ? undefined : await Seal.open(path, fromEnv);
  if (known === undefined && seal) await ledger.setFact(KEY_ID, seal.id);
  if (seal && (known === undefined || known === seal.id)) return seal;
  throw new DavitError(
    "denied",
    `Cannot open rack ${name}: it was sealed with key ${known}, ${seal ? `this is key ${seal.id}` : "and that is not here"}`,
    { hint: `put the right key into ${path}, or set DAVIT_KEY` },
  );
}
