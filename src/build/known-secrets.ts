import { type Bytes, decode, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { checkJson, Type } from "../schema.ts";
import { isSecret } from "./redact.ts";

/** As much of an image's config as may hold what its build was told: https://github.com/opencontainers/image-spec/blob/main/config.md */
const Config = Type.Object({
  history: Type.Optional(
    Type.Array(Type.Object({ created_by: Type.Optional(Type.String()) }, { additionalProperties: true })),
  ),
});

/** The secrets a build knows, and what becomes of them in an image's config before the image enters the rack. */
export class KnownSecrets {
  readonly #removed = new Set<string>();
  readonly #forbidden = new Map<string, string>();

  /** A value that builds are given as an argument by contract: it is taken out of the history. */
  scrub(value: string): void {
    if (isSecret(value)) this.#removed.add(value);
  }

  /** A value that has no place in an image: finding it stops the build. */
  forbid(name: string, value: string): void {
    for (const line of value.split("\n")) if (isSecret(line)) this.#forbidden.set(line, name);
  }

  /** The config as it may be stored: the same bytes, unless something had to be taken out. */
  vet(config: Bytes): Bytes {
    const clean = this.#scrubbed(config);
    const text = decode(clean);
    for (const [value, name] of this.#forbidden)
      if (text.includes(JSON.stringify(value).slice(1, -1)))
        throw new DavitError("denied", `the image holds the secret ${name} in its config or history`, {
          hint: "use RUN --mount=type=secret, and write it neither to ENV, ARG nor LABEL",
        });
    return clean;
  }

  #scrubbed(config: Bytes): Bytes {
    const text = decode(config);
    const found = [...this.#removed].filter((value) => text.includes(JSON.stringify(value).slice(1, -1)));
    if (found.length === 0) return config;
    const parsed = checkJson(Config, text, "the image's config");
    for (const step of parsed.history ?? [])
      if (step.created_by !== undefined)
        for (const value of found) step.created_by = step.created_by.replaceAll(value, "");
    return encode(JSON.stringify(parsed));
  }
}
