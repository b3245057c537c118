import { existsSync } from "node:fs";
import { mkdir, open, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type ByteStream, type Bytes, collect, decode, encode, streamOf } from "../bytes.ts";
import { DavitError, systemError } from "../errors.ts";
import { BlobPool } from "../oci/blob-pool.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestAlgorithm, digestHex, isDigest } from "../oci/digest.ts";
import { pushThrough } from "../oci/push-through.ts";
import { checkJson, Type } from "../schema.ts";
import { removeScratch } from "../scratch.ts";
import { bad, shown } from "../tar/header.ts";
import { readTar, type TarEntry } from "../tar/read.ts";
import { type NewEntry, writeTar } from "../tar/write.ts";
import { settleCopy } from "./copied-ledger.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { Ledger } from "./ledger.ts";
import { OWN } from "./place-ledger.ts";
import { SCHEMA } from "./tables.ts";

/*
 * A rack as a tar: `backup.json`, `ledger.db` as it was at one moment, and every blob
 * that it names. The key is not in it, so what is sealed stays sealed.
 */

const PIECE = 512 * 1024;
const MAX_HEAD = 64 * 1024;
const UNTYPED = "application/octet-stream";
/** Times a snapshot is taken anew because a blob that it names was collected meanwhile. */
const TRIES = 5;

const Head = Type.Object({
  davit: Type.Literal("backup"),
  schema: Type.Integer(),
  rack: Type.String(),
  /** Of the key that opens what is sealed. */
  key: Type.String(),
  blobs: Type.Integer(),
});

interface Blob {
  digest: Digest;
  size: number;
}

/** Streams a rack while others go on using it; what it had when this began stays until the last byte. */
export async function* backup(parts: EmbeddedParts, keyId: string): AsyncGenerator<Bytes> {
  const lease = `backup ${crypto.randomUUID()}`;
  const file = join(parts.dir, `backup.${crypto.randomUUID().slice(0, 8)}.db`);
  const { content } = parts.ledger;
  await content.leases.open(lease);
  try {
    const blobs = await snapshot(parts, file, lease);
    const head = { davit: "backup", schema: SCHEMA, rack: parts.name, key: keyId, blobs: blobs.length };
    yield* writeTar(entries(parts, encode(JSON.stringify(head)), file, blobs));
  } finally {
    // The archive is whole by now. A lease that stays is ended by others when this process is gone.
    await removeScratch(file);
    await content.leases.close(lease).catch(() => undefined);
  }
}

/** Copies the ledger and pins what it names; until both agree. */
async function snapshot(parts: EmbeddedParts, file: string, lease: string): Promise<Blob[]> {
  for (let tries = 0; tries < TRIES; tries++) {
    await parts.ledger.content.pinAll(lease);
    await rm(file, { force: true });
    await parts.ledger.db.copyTo(file);
    const blobs = await settle(file);
    if (await parts.ledger.content.pinThese(lease, blobs)) return blobs;
  }
  throw new DavitError("busy", "Cannot back up the rack: too much is deleted meanwhile", {
    hint: "try again later",
  });
}

/** Makes a rack of its own of a copied ledger, and lists its blobs. */
async function settle(path: string): Promise<Blob[]> {
  const copy = await Ledger.open({ path });
  try {
    return await settleCopy(copy);
  } finally {
    await copy.close();
  }
}

async function* entries(
  parts: EmbeddedParts,
  head: Bytes,
  ledger: string,
  blobs: readonly Blob[],
): AsyncGenerator<NewEntry> {
  yield { name: "backup.json", type: "file", size: head.byteLength, body: () => streamOf(head) };
  yield {
    name: "ledger.db",
    type: "file",
    mode: 0o600,
    size: (await stat(ledger)).size,
    body: () => fileStream(ledger),
  };
  for (const { digest, size } of blobs) {
    const name = `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
    yield { name, type: "file", size, body: () => read(parts, { mediaType: UNTYPED, digest, size }) };
  }
}

/** A blob, from wherever the rack has it. */
async function read({ collector, ledger }: EmbeddedParts, blob: Descriptor): Promise<ByteStream> {
  const holder = await ledger.places.holder(blob.digest, OWN);
  if (!holder) return await collector.places.own.read("", blob, 0);
  const place = await collector.places.named(holder.store);
  return await place.read(holder.app, holder.descriptor, 0);
}

async function* fileStream(path: string): AsyncGenerator<Bytes> {
  const file = await open(path, "r");
  try {
    for (const buffer = new Uint8Array(PIECE); ; ) {
      const { bytesRead } = await file.read(buffer, 0, PIECE);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** What a restored rack needs to be used. */
export interface Restored {
  /** The name it had. */
  rack: string;
  key: string;
  blobs: number;
}

/**
 * Makes a rack's directory of a backup: under another name until every blob is there
 * and matches its digest. `key` is the content of the key file that belongs to it.
 */
export async function restore(archive: ByteStream, dir: string, key?: Bytes): Promise<Restored> {
  if (existsSync(dir)) throw new DavitError("exists", `Cannot restore into ${dir}: it is there already`);
  const part = `${dir}.${crypto.randomUUID().slice(0, 8)}.part`;
  try {
    await mkdir(dirname(dir), { recursive: true, mode: 0o700 });
    await mkdir(join(part, "layout"), { recursive: true, mode: 0o700 });
    const restored = await takeAll(archive, part);
    if (key) await writeFile(join(part, "key"), key, { mode: 0o600 });
    await rename(part, dir);
    return restored;
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    throw systemError("Cannot restore the rack", error);
  }
}

async function takeAll(archive: ByteStream, part: string): Promise<Restored> {
  const pool = new BlobPool(join(part, "layout"));
  let head: Restored | undefined;
  const found = new Map<Digest, number>();
  for await (const entry of readTar(archive)) {
    if (!head) head = await readHead(entry);
    else if (entry.name === "ledger.db") await writeLedger(entry, join(part, "ledger.db"));
    else found.set(await takeBlob(entry, pool), entry.size);
  }
  if (!head) throw bad("it is empty");
  const wanted = existsSync(join(part, "ledger.db")) ? await settle(join(part, "ledger.db")) : undefined;
  if (!wanted) throw bad("it has no ledger.db");
  const missing = wanted.find(({ digest, size }) => found.get(digest) !== size);
  if (missing || wanted.length !== found.size)
    throw bad(missing ? `it lacks ${missing.digest}` : "it holds blobs that its ledger does not name");
  return { ...head, blobs: found.size };
}

async function readHead(entry: TarEntry): Promise<Restored> {
  if (entry.name !== "backup.json")
    throw bad("it is no backup of a rack: it does not begin with backup.json");
  const text = decode(await collect(entry.body, MAX_HEAD, "backup.json"));
  const { schema, rack, key, blobs } = checkJson(Head, text, "backup.json", "bad-archive");
  if (schema > SCHEMA)
    throw new DavitError("unsupported", "Cannot restore the rack: a newer davit made the backup", {
      hint: "update this davit",
    });
  return { rack, key, blobs };
}

async function writeLedger(entry: TarEntry, path: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    for await (const chunk of entry.body)
      for (let done = 0; done < chunk.byteLength; )
        done += (await file.write(chunk, done, chunk.byteLength - done)).bytesWritten;
    await file.sync();
  } finally {
    await file.close();
  }
}

async function takeBlob(entry: TarEntry, pool: BlobPool): Promise<Digest> {
  const digest = entry.name.replace(/^blobs\/(sha256|sha512)\//, "$1:");
  if (!isDigest(digest)) throw bad(`entry ${shown(entry.name)} is no blob`);
  const descriptor = { mediaType: UNTYPED, digest, size: entry.size };
  const content = { open: async () => entry.body, replayable: false };
  await pushThrough(await pool.writer(digestAlgorithm(digest)), descriptor, content);
  return digest;
}
