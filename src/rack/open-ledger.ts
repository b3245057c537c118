import { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { DavitError } from "../errors.ts";
import type { EmbeddedOptions } from "./embedded-parts.ts";
import { Ledger } from "./ledger.ts";
import { rowsFrom } from "./ledger-rows.ts";

/** The facts that say whose ledger a database is, and that it is one. */
const RACK = "rack";
const ID = "id";

/**
 * Opens the ledger of the rack in `dir`: its file there, or the database that
 * `DAVIT_DATABASE_URL` names, which is for one rack. What the file holds moves
 * into a database that is empty.
 */
export async function openLedger(
  name: string,
  dir: string,
  { env, now, promotionLease }: Pick<EmbeddedOptions, "env" | "now" | "promotionLease">,
): Promise<Ledger> {
  const path = join(dir, "ledger.db");
  const url = env["DAVIT_DATABASE_URL"] || undefined;
  const ledger = await Ledger.open({ path, url, now, promotionLease });
  if (url === undefined) return ledger;
  try {
    if (existsSync(path) && (await ledger.known(ID)) === undefined) await moveInto(ledger, path);
    const owner = await ledger.fact(RACK, () => name);
    if (owner === name) return ledger;
    throw new DavitError("conflict", `Cannot open rack ${name}: ${ledger.db.name} holds rack ${owner}`, {
      hint: "give each rack a database of its own",
    });
  } catch (error) {
    await ledger.close();
    throw error;
  }
}

/** All of it in one transaction; the file is kept under another name. */
async function moveInto(ledger: Ledger, path: string): Promise<void> {
  const copy = `${path}.${crypto.randomUUID().slice(0, 8)}`;
  const file = await Ledger.open({ path });
  try {
    await file.db.copyTo(copy);
    const source = new Database(copy, { readonly: true });
    await ledger.db.write(() => rowsFrom(source)).finally(() => source.close());
  } finally {
    await file.close();
    await rm(copy, { force: true });
  }
  await rename(path, `${path}.moved`);
}
