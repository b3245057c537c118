import { type Bytes, decode, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { checkJson, parseJson, Type } from "../schema.ts";
import { isSecret } from "./redact.ts";

/** As much of an image's config as may hold what its build was told: https://github.com/opencontainers/image-spec/blob/main/config.md */
const Config = Type.Object({
  history: Type.Optional(
    Type.Array(Type.Object({ created_by: Type.Optional(Type.String()) }, { additionalProperties: true })),
  ),
});

/** The secrets a build knows, and what becomes of them in an image's config before the image enters the rack. */
export class KnownSecrets {
  /** By value: the names they are known by. */
  readonly #removed = new Map<string, string>();
  readonly #forbidden = new Map<string, string>();

  /** A value that builds are given as an argument by contract: it is taken out of the history. */
  scrub(name: string, value: string): void {
    if (isSecret(value)) this.#removed.set(value, name);
  }

  /** A value that has no place in an image: finding it stops the build. */
  forbid(name: string, value: string): void {
    for (const line of value.split("\n")) if (isSecret(line)) this.#forbidden.set(line, name);
  }

  /** The config as it may be stored: the same bytes, unless something had to be taken out. */
  vet(config: Bytes): Bytes {
    const clean = this.#scrubbed(config);
    const name = find(clean, this.#forbidden);
    if (name === undefined) return clean;
    throw new DavitError("denied", `the image holds the secret ${name} in its config or history`, {
      hint: "use RUN --mount=type=secret, and write it neither to ENV, ARG nor LABEL",
    });
  }

  /** What is attested of an image may hold no secret at all: a statement is nothing to take words out of. */
  vetStatement(statement: Bytes): void {
    const name = find(statement, this.#forbidden) ?? find(statement, this.#removed);
    if (name === undefined) return;
    throw new DavitError("denied", `an attestation of the image holds the secret ${name}`, {
      hint: "use RUN --mount=type=secret, or attest with mode=min",
    });
  }

  #scrubbed(config: Bytes): Bytes {
    const parsed = checkJson(Config, decode(config), "the image's config");
    let changed = false;
    for (const step of parsed.history ?? []) {
      const clean = without(step.created_by ?? "", this.#removed.keys());
      if (step.created_by === undefined || clean === step.created_by) continue;
      step.created_by = clean;
      changed = true;
    }
    return changed ? encode(JSON.stringify(parsed)) : config;
  }
}

function without(text: string, values: Iterable<string>): string {
  let clean = text;
  // The longest first: one value may be a part of another.
  for (const value of [...values].sort((a, b) => b.length - a.length)) clean = clean.replaceAll(value, "");
  return clean;
}

/** The name of a secret that stands in JSON, in whatever escapes it is written there. */
function find(json: Bytes, secrets: ReadonlyMap<string, string>): string | undefined {
  const texts = [...textsIn(parseJson(decode(json), "the image's config", "engine"))];
  for (const [value, name] of secrets) if (texts.some((text) => text.includes(value))) return name;
  return undefined;
}

function* textsIn(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    yield key;
    yield* textsIn(inner);
  }
}
