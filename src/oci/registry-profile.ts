import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checkJson, type Static, Type } from "../schema.ts";

/**
 * What a registry was seen to do, kept for the next time: nobody has to set
 * anything. Whatever is absent has not been met yet.
 */
export const Profile = Type.Object({
  /** Smallest chunk it takes, in bytes, as its OCI-Chunk-Min-Length says. */
  chunkMin: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Largest body it takes, in bytes. */
  chunkMax: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Bytes in one request, and a connection for each, where a request that breaks loses the whole upload. */
  chunkSafe: Type.Optional(Type.Integer({ minimum: 1 })),
  /** Where not every way of sending is taken: one PATCH for a whole blob, or one PUT. */
  upload: Type.Optional(Type.Union([Type.Literal("stream"), Type.Literal("put")])),
  /** Whether an upload that was cut can be gone on with. */
  resumes: Type.Optional(Type.Boolean()),
  /** Whether blobs were mounted, or a mount must name the repository it is from. */
  mount: Type.Optional(Type.Union([Type.Literal("mounted"), Type.Literal("named")])),
  /** Whether HEAD requests are answered. */
  head: Type.Optional(Type.Boolean()),
  /** What its Location headers look like. */
  location: Type.Optional(
    Type.Union([Type.Literal("same"), Type.Literal("relative"), Type.Literal("rewritten")]),
  ),
  /** Whether it answers the referrers API, or tags stand in for it. */
  referrers: Type.Optional(Type.Union([Type.Literal("api"), Type.Literal("tags")])),
});
export type Profile = Static<typeof Profile>;

/** One host's profile in a file. Losing it costs a few requests, so no failure to keep it is ever shown. */
export class RegistryProfile {
  readonly #path: string | undefined;
  #seen: Profile;

  private constructor(path: string | undefined, seen: Profile) {
    this.#path = path;
    this.#seen = seen;
  }

  /** `dir` undefined: for this process only. */
  static async open(host: string, dir: string | undefined): Promise<RegistryProfile> {
    if (dir === undefined) return new RegistryProfile(undefined, {});
    const path = join(dir, `${host.replaceAll(/[^\w.-]/g, "_")}.json`);
    return new RegistryProfile(path, await readProfile(path));
  }

  get seen(): Readonly<Profile> {
    return this.#seen;
  }

  /** Notes what was seen; the file is written only when that is news. */
  async learn(news: Profile): Promise<void> {
    const next = { ...this.#seen, ...news };
    if (JSON.stringify(next) === JSON.stringify(this.#seen)) return;
    this.#seen = next;
    if (this.#path === undefined) return;
    const part = `${this.#path}.${crypto.randomUUID()}`;
    try {
      await mkdir(join(this.#path, ".."), { recursive: true, mode: 0o700 });
      await writeFile(part, JSON.stringify(next), { mode: 0o600 });
      await rename(part, this.#path);
    } catch {
      // Nothing is lost but the memory.
    }
  }
}

async function readProfile(path: string): Promise<Profile> {
  try {
    return checkJson(Profile, await readFile(path, "utf8"), path);
  } catch {
    return {};
  }
}
