import { createHash } from "node:crypto";

/** The longest name a service may have. */
const LONGEST = 63;
/** Of the hash in a shortened one: 80 bits. */
const HASH = 20;

/**
 * `RACK_APP_SERVICE`. Names of racks and apps have no `_`, so no two are one. A longer one is
 * shortened to a name with `__` in it, which no other has, and its hash.
 */
export function serviceName(...parts: string[]): string {
  const name = parts.join("_");
  if (name.length <= LONGEST) return name;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, HASH);
  return `${name.slice(0, LONGEST - HASH - 2)}__${hash}`;
}
