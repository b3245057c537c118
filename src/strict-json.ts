import { DavitError, type ErrorCode } from "./errors.ts";
import { findMistake } from "./json-scan.ts";
import { check, parseJson, type Static, type TSchema } from "./schema.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * JSON that others must read just as we do: manifests and what describes builds.
 * UTF-8 without a mark, no key twice in one object, not nested without end.
 */
export function checkStrictJson<T extends TSchema>(
  schema: T,
  bytes: Uint8Array | string,
  what: string,
  code: ErrorCode = "invalid",
): Static<T> {
  const text = typeof bytes === "string" ? bytes : decodeStrict(bytes, what, code);
  const mistake = findMistake(text);
  if (mistake) throw new DavitError(code, `Cannot read ${what}: ${mistake}`);
  return check(schema, parseJson(text, what, code), what, code);
}

/** UTF-8 as it is, its mark kept to be seen. */
export function decodeStrict(bytes: Uint8Array, what: string, code: ErrorCode): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new DavitError(code, `Cannot read ${what}: it is not UTF-8`, { cause });
  }
}
