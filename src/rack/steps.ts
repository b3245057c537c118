/** What a statement takes. */
export type Value = string | number | null;

/** SQL that SQLite and PostgreSQL read alike; values stand as `?`, or as `?1` where one is used twice. */
export interface Statement {
  sql: string;
  values: Value[];
}

export interface Outcome {
  rows: unknown[];
  /** How many rows a change touched. */
  changes: number;
}

/**
 * Work on the ledger, written once for every database: it yields statements and is
 * handed what came of them. SQLite runs it in one go; over a network each is awaited.
 */
export type Steps<T> = Generator<Statement, T, Outcome>;

export function* all(sql: string, ...values: Value[]): Steps<unknown[]> {
  return (yield { sql, values }).rows;
}

/** The first row, or undefined. */
export function* first(sql: string, ...values: Value[]): Steps<unknown> {
  return (yield { sql, values }).rows[0];
}

/** How many rows of a list are read at a time, and how much text one list returns, in characters. */
const BATCH = 10;
const MOST_TEXT = 4 * 1024 * 1024;

/**
 * Reads the first rows of a list: `limit` at most, fewer where they have more than `MOST_TEXT`
 * characters, but always one. `batch` reads `count` rows at most that follow `last`, or the first ones.
 */
export function* page<T extends object>(
  limit: number,
  batch: (last: T | undefined, count: number) => Steps<T[]>,
): Steps<T[]> {
  const found: T[] = [];
  for (let size = 0; found.length < limit; ) {
    const rows = yield* batch(found.at(-1), Math.min(BATCH, limit - found.length));
    if (rows.length === 0) break;
    for (const row of rows) {
      size += textOf(row);
      if (size > MOST_TEXT && found.length > 0) return found;
      found.push(row);
    }
  }
  return found;
}

function textOf(row: object): number {
  return Object.values(row).reduce((sum, one) => sum + (typeof one === "string" ? one.length : 0), 0);
}

/** Returns how many rows changed. */
export function* run(sql: string, ...values: Value[]): Steps<number> {
  return (yield { sql, values }).changes;
}
