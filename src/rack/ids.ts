import { DavitError } from "../errors.ts";

/** Fills a buffer with unpredictable bytes; tests give their own. */
export type RandomSource = (bytes: Uint8Array<ArrayBuffer>) => void;

export const secureRandom: RandomSource = (bytes) => {
  crypto.getRandomValues(bytes);
};

/** A kind's letter, of apps, builds, releases or tokens, and ten capitals, each equally likely. */
export function newId(kind: "A" | "B" | "R" | "T", random: RandomSource = secureRandom): string {
  let id: string = kind;
  const bytes = new Uint8Array(32);
  while (id.length < 11) {
    random(bytes);
    // 234 is the largest multiple of 26 below 256: larger bytes would favour the first letters.
    for (const byte of bytes) if (byte < 234 && id.length < 11) id += String.fromCharCode(65 + (byte % 26));
  }
  return id;
}

/** Checks an id that becomes part of a path: a ledger may come from elsewhere, in a backup. */
export function checkId(id: string): string {
  if (/^[\w-]{1,64}$/.test(id)) return id;
  throw new DavitError(
    "invalid",
    `Cannot use id ${JSON.stringify(id.slice(0, 100))}: davit makes none like it`,
  );
}

declare const CHECKED: unique symbol;
/** A name of a rack, an app or a service that was checked: it holds no `/` and no dot, and can be a file's name. */
export type Name = string & { readonly [CHECKED]: true };

const NAME = /^[a-z][a-z0-9-]*$/;
const RESERVED = ["rack", "system", "router"];
const LONGEST = 63;

export function isName(text: string): text is Name {
  return NAME.test(text) && text.length <= LONGEST;
}

export function checkName(kind: "rack" | "app" | "service", name: string): Name {
  if (!isName(name))
    throw new DavitError(
      "invalid",
      `Cannot use ${kind} name ${JSON.stringify(name.slice(0, 100))}: it is not like a-z, then a-z, 0-9 and -, ${LONGEST} at most`,
      {
        hint: kind === "app" ? "name the app with -a NAME" : "choose another name",
      },
    );
  if (kind === "app" && RESERVED.includes(name))
    throw new DavitError("invalid", `Cannot use app name ${JSON.stringify(name)}: app name is reserved`, {
      hint: "choose another name",
    });
  return name;
}
