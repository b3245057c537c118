/** One challenge of a WWW-Authenticate header: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 */
export interface Challenge {
  /** In lower case. */
  scheme: string;
  /** Names in lower case. */
  params: Record<string, string>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAM = new RegExp(`^\\s*,?\\s*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))`);
const SCHEME = new RegExp(`^[\\s,]*(${TOKEN})(?=\\s|,|$)`);
/** A longer header is not read on. */
const MAX_LENGTH = 16 * 1024;

/** Reads a header of any number of challenges; what cannot be understood ends the reading, and never throws. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let rest = header.slice(0, MAX_LENGTH);
  for (;;) {
    const scheme = SCHEME.exec(rest);
    if (!scheme?.[1]) return challenges;
    rest = rest.slice(scheme[0].length);
    const params: Record<string, string> = Object.create(null);
    for (let param = PARAM.exec(rest); param; param = PARAM.exec(rest)) {
      params[(param[1] ?? "").toLowerCase()] = param[3] ?? (param[2] ?? "").replace(/\\(.)/g, "$1");
      rest = rest.slice(param[0].length);
    }
    challenges.push({ scheme: scheme[1].toLowerCase(), params });
  }
}
