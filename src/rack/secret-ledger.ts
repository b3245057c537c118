import { DavitError } from "../errors.ts";
import { check, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import type { RackFact } from "./rack-facts.ts";
import { all, first, run, type Steps } from "./steps.ts";

/** A secret at rest: its row and column, and what stands there. */
export interface Sealed {
  kind: Kind;
  /** Values of the row's key. */
  key: string[];
  /** What it was sealed for: the name of its place. */
  place: string;
  text: string;
}

type Kind = keyof typeof KINDS;

/** Every column that holds secrets: the row's key, and the name that a secret there is sealed with. */
const KINDS = {
  registries: {
    column: "password",
    key: ["server"],
    place: ([server]: string[]) => `registries/${server}/password`,
  },
  params: { column: "value", key: ["name"], place: ([name]: string[]) => `params/${name}/value` },
  configs: {
    column: "value",
    key: ["app", "name"],
    place: ([app, name]: string[]) => `configs/${app}.${name}/value`,
  },
  releases: { column: "env", key: ["id"], place: ([id]: string[]) => `releases/${id}/env` },
} as const;

const Row = Type.Record(Type.String(), Type.String());

/** All that is sealed in a ledger, to be sealed anew. */
export class SecretLedger {
  readonly #db: LedgerDatabase;

  constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  async list(): Promise<Sealed[]> {
    return await this.#db.read(listSecrets);
  }

  /** Puts other texts in place of those that are known, and the key's name with them: all, or nothing where one has changed. */
  async replace(
    before: readonly Sealed[],
    after: readonly string[],
    keyFact: RackFact,
    keyId: string,
  ): Promise<void> {
    await this.#db.write(function* () {
      const running = yield* first("SELECT id FROM builds WHERE status IN ('created', 'running')");
      if (running !== undefined)
        throw new DavitError("conflict", "Cannot change the rack's key: a build is running", {
          hint: "wait for it, or stop it",
        });
      if (!isSame(yield* listSecrets(), before))
        throw new DavitError("outdated", "a secret changed meanwhile");
      for (const [i, secret] of before.entries()) yield* put(secret, after[i] ?? "");
      yield* run("UPDATE meta SET value = ? WHERE key = ?", keyId, keyFact);
    });
  }
}

function* listSecrets(): Steps<Sealed[]> {
  const found: Sealed[] = [];
  for (const kind of kinds) {
    const { column, key, place } = KINDS[kind];
    const columns = key.join(", ");
    const rows = yield* all(
      `SELECT ${columns}, ${column} AS text FROM ${kind} WHERE ${column} <> '' ORDER BY ${columns}`,
    );
    for (const row of rows) {
      const { text = "", ...rest } = check(Row, row, "the ledger's secrets");
      const values = key.map((name) => rest[name] ?? "");
      found.push({ kind, key: values, place: place(values), text });
    }
  }
  return found;
}

const kinds: readonly Kind[] = ["registries", "params", "configs", "releases"];

function* put({ kind, key }: Sealed, text: string): Steps<void> {
  const { column, key: columns } = KINDS[kind];
  const where = columns.map((name) => `${name} = ?`).join(" AND ");
  yield* run(`UPDATE ${kind} SET ${column} = ? WHERE ${where}`, text, ...key);
}

function isSame(now: readonly Sealed[], before: readonly Sealed[]): boolean {
  return (
    now.length === before.length &&
    now.every(({ place, text }, i) => place === before[i]?.place && text === before[i]?.text)
  );
}
