import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { DavitError, type ErrorCode, reasonOf } from "./errors.ts";
import { isTooDeep, MAX_DEPTH } from "./json-scan.ts";

export { type Static, type TSchema, Type };

/** Checks a value that came from outside against its schema, once, at the edge. */
export function check<T extends TSchema>(
  schema: T,
  value: unknown,
  what: string,
  code: ErrorCode = "invalid",
): Static<T> {
  if (Value.Check(schema, value)) return value;
  const first = Value.Errors(schema, value).First();
  const where = first?.path ? ` at ${first.path}` : "";
  throw new DavitError(code, `Cannot read ${what}: ${first?.message ?? "wrong shape"}${where}`);
}

/** JSON text from outside, parsed and checked. */
export function checkJson<T extends TSchema>(
  schema: T,
  text: string,
  what: string,
  code: ErrorCode = "invalid",
): Static<T> {
  return check(schema, parseJson(text, what, code), what, code);
}

/** JSON text from outside, parsed. Nested deeper than `MAX_DEPTH` it is refused. */
export function parseJson(text: string, what: string, code: ErrorCode): unknown {
  if (isTooDeep(text))
    throw new DavitError(code, `Cannot read ${what}: it is nested deeper than ${MAX_DEPTH}`);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DavitError(code, `Cannot read ${what}: ${reasonOf(cause)}`, { cause });
  }
}
