import type { Database, SQLQueryBindings } from "bun:sqlite";
import { check, type Static, Type } from "../schema.ts";
import { all, run, type Steps } from "./steps.ts";

/** Every table of a ledger, each after those it refers to. */
export const TABLES = [
  "meta",
  "apps",
  "app_facts",
  "former_apps",
  "builds",
  "log_chunks",
  "releases",
  "blobs",
  "members",
  "strays",
  "edges",
  "tags",
  "leases",
  "pins",
  "layers",
  "manifests",
  "uploads",
  "objects",
  "registries",
  "params",
  "configs",
  "grants",
  "events",
  "promotions",
  "duties",
  "domains",
  "tokens",
  "token_apps",
  "registry_apps",
] as const;
/** Rows that move at once. */
const PAGE = 200;

const Row = Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Null()]));
type Row = Static<typeof Row>;

/** Puts all rows of a ledger in a file into another, which must be empty. */
export function* rowsFrom(file: Database): Steps<void> {
  for (const table of TABLES) {
    const page: Row[] = [];
    for (const row of file.query(`SELECT * FROM ${table}`).iterate()) {
      page.push(check(Row, row, "the ledger"));
      if (page.length === PAGE) yield* insert(table, page.splice(0));
    }
    if (page.length > 0) yield* insert(table, page);
  }
}

function* insert(table: string, rows: readonly Row[]): Steps<void> {
  const columns = Object.keys(rows[0] ?? {});
  const places = `(${columns.map(() => "?").join(", ")})`;
  yield* run(
    `INSERT INTO ${table} (${columns.join(", ")}) VALUES ${rows.map(() => places).join(", ")}`,
    ...rows.flatMap((row) => columns.map((column) => row[column] ?? null)),
  );
}

/** Puts all rows of a ledger into another in a file, which must be empty. */
export function* rowsInto(file: Database): Steps<void> {
  for (const table of TABLES) {
    yield* run(`DECLARE page CURSOR FOR SELECT * FROM ${table}`);
    for (;;) {
      const rows = (yield* all(`FETCH ${PAGE} FROM page`)).map((row) => check(Row, row, "the ledger"));
      for (const row of rows) insertInto(file, table, row);
      if (rows.length < PAGE) break;
    }
    yield* run("CLOSE page");
  }
}

function insertInto(file: Database, table: string, row: Row): void {
  const columns = Object.keys(row);
  const values: SQLQueryBindings[] = Object.values(row);
  file
    .query(`INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`)
    .run(...values);
}
