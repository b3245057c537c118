/** The longest name of a host, and of one part of it: RFC 1123. */
const LONGEST = 253;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Why a text is no host name that a router can answer to; undefined where it is one. Names are in
 * lower case; the first part may be `*` where two more follow.
 */
export function hostNameFault(name: string): string | undefined {
  if (name.length > LONGEST) return "it is longer than 253 characters";
  const wild = name.startsWith("*.");
  const labels = (wild ? name.slice(2) : name).split(".");
  const bad = labels.find((label) => !LABEL.test(label));
  if (bad !== undefined) return `${JSON.stringify(bad.slice(0, 70))} is no part of a host name`;
  if (/^\d+$/.test(labels.at(-1) ?? "")) return "it is an address, not a name";
  if (wild && labels.length < 2) return "a wildcard needs two parts after it";
  return undefined;
}

/** Whether a name is another, or is a wildcard that includes it. */
export function covers(name: string, other: string): boolean {
  return name === other || (name.startsWith("*.") && name.slice(2) === other.slice(other.indexOf(".") + 1));
}
