import { type Bytes, decode, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { checkJson, parseJson, Type } from "../schema.ts";
import { WordFinder } from "./find-words.ts";

/** As much of an image's config as may hold what its build was told: https://github.com/opencontainers/image-spec/blob/main/config.md */
const Config = Type.Object({
  history: Type.Optional(
    Type.Array(Type.Object({ created_by: Type.Optional(Type.String()) }, { additionalProperties: true })),
  ),
});

/** Shorter values, words and numbers stand in images by chance. */
const SHORTEST = 8;

/** The secrets a build knows, and what becomes of them in an image's config before the image enters the rack. */
export class KnownSecrets {
  /** What is taken out of the history, and what is left in its place. */
  readonly #scrubbed = new Map<string, string>();
  /** Values by the names they are known by. */
  readonly #scrubbedNames = new Map<string, string>();
  readonly #forbidden = new Map<string, string>();

  /** A value that builds are given as an argument by contract: it is taken out of the history. */
  scrub(name: string, value: string): void {
    if (value !== "") this.#scrubbed.set(`${name}=${value}`, `${name}=`);
    if (!isTelling(value)) return;
    this.#scrubbed.set(value, "");
    this.#scrubbedNames.set(value, name);
  }

  /** A value that has no place in an image: finding it stops the build. */
  forbid(name: string, value: string): void {
    for (const line of value.split(/[\r\n]+/)) {
      const text = line.trim();
      if (isTelling(text)) this.#forbidden.set(text, name);
    }
  }

  /** The config as it may be stored: the same bytes, unless something had to be taken out. */
  vet(config: Bytes): Bytes {
    const clean = this.#clean(config);
    const name = find(clean, this.#forbidden);
    if (name === undefined) return clean;
    throw new DavitError("denied", `the image holds the secret ${name} in its config or history`, {
      hint: "use RUN --mount=type=secret, and write it neither to ENV, ARG nor LABEL",
    });
  }

  /** What is attested of an image may hold no secret at all: a statement is nothing to take words out of. */
  vetStatement(statement: Bytes): void {
    const name = find(statement, new Map([...this.#scrubbedNames, ...this.#forbidden]));
    if (name === undefined) return;
    throw new DavitError("denied", `an attestation of the image holds the secret ${name}`, {
      hint: "use RUN --mount=type=secret, or attest with mode=min",
    });
  }

  #clean(config: Bytes): Bytes {
    const parsed = checkJson(Config, decode(config), "the image's config");
    let changed = false;
    for (const step of parsed.history ?? []) {
      const clean = without(step.created_by ?? "", this.#scrubbed);
      if (step.created_by === undefined || clean === step.created_by) continue;
      step.created_by = clean;
      changed = true;
    }
    return changed ? encode(JSON.stringify(parsed)) : config;
  }
}

function isTelling(value: string): boolean {
  return value.length >= SHORTEST && !/^(\d+|[a-z]+)$/.test(value);
}

function without(text: string, replacements: ReadonlyMap<string, string>): string {
  let clean = text;
  // The longest first: one value may be a part of another.
  for (const [value, rest] of [...replacements].sort(([a], [b]) => b.length - a.length))
    clean = clean.replaceAll(value, () => rest);
  return clean;
}

/** The name of a secret that stands in JSON, in whatever escapes it is written there. */
function find(json: Bytes, secrets: ReadonlyMap<string, string>): string | undefined {
  const finder = new WordFinder();
  for (const value of secrets.keys()) finder.add(value);
  for (const text of textsIn(parseJson(decode(json), "the image's config", "engine"))) {
    // One pass finds whether there is any secret; which one is searched only then.
    if (finder.find(text).length === 0) continue;
    for (const [value, name] of secrets) if (text.includes(value)) return name;
  }
  return undefined;
}

/** Without recursion: JSON may be of any depth. */
function* textsIn(json: unknown): Generator<string> {
  const left = [json];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value === "string") yield value;
    if (typeof value !== "object" || value === null) continue;
    if (!Array.isArray(value)) yield* Object.keys(value);
    for (const inner of Object.values(value)) left.push(inner);
  }
}
