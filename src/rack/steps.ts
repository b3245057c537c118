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

/** Returns how many rows changed. */
export function* run(sql: string, ...values: Value[]): Steps<number> {
  return (yield { sql, values }).changes;
}
