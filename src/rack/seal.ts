import { link, readFile, rm, stat, writeFile } from "node:fs/promises";
import { type Bytes, decode, encode } from "../bytes.ts";
import { DavitError, systemCode, systemError } from "../errors.ts";

const NONCE = 12;

/**
 * Seals secrets at rest with AES-GCM: `v1.<key id>.<nonce>.<text>`. The place a
 * secret stands in (table, row, column) is authenticated too, so that no row's
 * secret can be moved to another.
 */
export class Seal {
  readonly #key: CryptoKey;
  readonly id: string;

  private constructor(key: CryptoKey, id: string) {
    this.#key = key;
    this.id = id;
  }

  /** The key: 32 bytes in base64, from `DAVIT_KEY` or a file made 0600 on first use. */
  static async open(path: string, fromEnv: string | undefined): Promise<Seal> {
    const text = fromEnv || (await keyFile(path));
    const raw = new Uint8Array(Buffer.from(text.trim(), "base64"));
    if (raw.byteLength !== 32)
      throw new DavitError(
        "invalid",
        `Cannot read the rack's key from ${fromEnv ? "DAVIT_KEY" : path}: it is not 32 bytes in base64`,
      );
    const id = new Bun.CryptoHasher("sha256").update("davit key id").update(raw).digest("hex").slice(0, 8);
    return new Seal(await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]), id);
  }

  /** A key in a file of its own: the one that is given, else a new one. */
  static async make(path: string, given: string | undefined): Promise<Seal> {
    if (given !== undefined) await writeKey(path, given.trim());
    return await Seal.open(path, undefined);
  }

  async seal(text: string, place: string): Promise<string> {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE));
    const sealed = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv: nonce, additionalData: encode(place) },
      this.#key,
      encode(text),
    );
    return `v1.${this.id}.${base64(nonce)}.${base64(new Uint8Array(sealed))}`;
  }

  async open(sealed: string, place: string): Promise<string> {
    const [version, id, nonce, text] = sealed.split(".");
    if (version !== "v1" || nonce === undefined || text === undefined)
      throw new DavitError("invalid", `Cannot open the secret at ${place}: its form is unknown`);
    if (id !== this.id)
      throw new DavitError(
        "denied",
        `Cannot open the secret at ${place}: it was sealed with key ${id}, this rack's key is ${this.id}`,
        {
          hint: "put back the key file this rack was made with, or set DAVIT_KEY",
        },
      );
    const algorithm = { name: "AES-GCM", iv: unbase64(nonce), additionalData: encode(place) };
    const opened = await crypto.subtle
      .decrypt(algorithm, this.#key, unbase64(text))
      .catch((cause: unknown) => {
        throw new DavitError("invalid", `Cannot open the secret at ${place}: it was changed`, { cause });
      });
    return decode(new Uint8Array(opened));
  }
}

/** The id of the key that a text was sealed with. */
export function sealedWith(sealed: string): string | undefined {
  return sealed.split(".")[1];
}

/** The name stands for a whole key or for none: a process that is killed here leaves no half of one. */
async function writeKey(path: string, key: string): Promise<void> {
  const draft = `${path}.${crypto.randomUUID()}`;
  try {
    await writeFile(draft, `${key}\n`, { mode: 0o600, flag: "wx", flush: true });
    await link(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}

async function keyFile(path: string): Promise<string> {
  const fresh = base64(crypto.getRandomValues(new Uint8Array(32)));
  try {
    await writeKey(path, fresh);
    return fresh;
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw systemError(`Cannot write ${path}`, error);
    await requirePrivate(path);
    return await readFile(path, "utf8");
  }
}

/** A key that others can read protects nothing. Windows keeps permissions elsewhere. */
async function requirePrivate(path: string): Promise<void> {
  if (process.platform === "win32" || ((await stat(path)).mode & 0o077) === 0) return;
  throw new DavitError("denied", `Cannot use the rack's key ${path}: other users can read it`, {
    hint: `chmod 600 ${path}`,
  });
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

function unbase64(text: string): Bytes {
  return new Uint8Array(Buffer.from(text, "base64url"));
}
