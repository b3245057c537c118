import { check, Type } from "../schema.ts";
import { first, run, type Steps } from "./steps.ts";

/** Names of facts about the rack as a whole. Facts about an app are of type `AppFact`. */
export type RackFact =
  | "id" // unguessable, for the rack's whole life
  | "rack" // its name, in a database
  | "key" // the id of the key that its secrets are sealed with
  | "moving" // set while content has yet to move; a new value each time the destination changes
  | "published" // the digest of the index.json that was written last
  | "password-shown" // who has shown the shared password
  | "older-tokens"; // "revoked" where tokens without an id are refused

const Fact = Type.Object({ value: Type.String() });

export function* rackFact(key: RackFact): Steps<string | undefined> {
  const row = yield* first("SELECT value FROM meta WHERE key = ?", key);
  return row === undefined ? undefined : check(Fact, row, "the ledger's facts").value;
}

export function* setRackFacts(facts: Partial<Record<RackFact, string>>): Steps<void> {
  for (const [key, value] of Object.entries(facts))
    yield* run(
      "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
      key,
      value,
    );
}
