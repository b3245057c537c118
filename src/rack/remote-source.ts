import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Context, contextTar, openContext } from "../build/context.ts";
import type { ByteStream, Bytes } from "../bytes.ts";
import { gzipped, zstandard } from "../compression.ts";
import { hasCode } from "../errors.ts";
import { Retries } from "../http/retry.ts";
import { Root } from "../root.ts";
import { Type } from "../schema.ts";
import { Bits } from "../tree/bits.ts";
import { type Lacking, spokenOf, writeDelta } from "../tree/delta.ts";
import { type Spoken, writeDocument } from "../tree/document.ts";
import { hashOf } from "../tree/listing.ts";
import { scanTree } from "../tree/scan.ts";
import type { TreeFile } from "../tree/tree-file.ts";
import type { BuildEvents } from "./rack.ts";
import type { RackClient } from "./rack-client.ts";

/** How often sending the source is tried. */
const TRIES = 3;
/** Listings of a small tree go along with the first question, in bytes. */
const SMALL = 64 * 1024;
/** How long what is known of a directory's files is kept unused, in milliseconds. */
const KEPT = 30 * 24 * 60 * 60 * 1000;

const Uploaded = Type.Object({ Url: Type.String() });
const Wanted = Type.Object({
  mirror: Type.String(),
  listings: Type.Array(Type.String()),
  files: Type.String(),
});

/** An older rack, a tree too large, every mirror in use; or nowhere to keep what is known of files here. */
const NOT_SO = ["not-found", "unsupported", "busy", "io", "no-space"] as const;

export interface Directory {
  dir: string;
  manifest: string;
}

export interface Sender {
  client: RackClient;
  app: string;
  /** Where davit keeps what it learns. */
  state: string;
  isDavit: boolean;
  events: BuildEvents;
  signal: AbortSignal;
}

/** Sends a directory to a rack, and returns its address there: what differs from the last time, or all of it. */
export async function sendSource(sender: Sender, options: Directory): Promise<string> {
  return (sender.isDavit && (await trySendTree(sender, options))) || (await sendArchive(sender, options));
}

/** As long as each try leaves less to send, another is worth it; undefined where a source cannot go this way. */
async function trySendTree(sender: Sender, { dir, manifest }: Directory): Promise<string | undefined> {
  const retries = new Retries(sender.signal);
  let [least, changed] = [Number.POSITIVE_INFINITY, 0];
  const onLacking = (files: number): void => {
    if (files < least) retries.progress();
    least = Math.min(least, files);
  };
  for (;;) {
    try {
      return await sendTree(sender, await openContext(await Root.open(dir), manifest), onLacking);
    } catch (error) {
      if (hasCode(error, ...NOT_SO)) return undefined;
      if (!hasCode(error, "outdated")) await retries.after(error);
      else if (++changed === TRIES) return undefined;
    }
  }
}

async function sendTree(
  sender: Sender,
  context: Context,
  onLacking: (files: number) => void,
): Promise<string> {
  const { client, app, signal, events } = sender;
  using tree = await scan(sender, context);
  const root = tree.at("")?.hash ?? "";
  const { mirror, listings, files } = await ask(sender, tree);
  onLacking(files.count);
  let done = 0;
  const sent = (bytes: number): void => {
    done += bytes;
    events.progress?.({ what: "Uploading source", done });
  };
  const stream = (): AsyncIterable<Bytes> =>
    zstandard(writeDelta(context.root, tree, { listings, files }, sent));
  const path = `/apps/${app}/sources/${mirror}/${root}`;
  return (await client.json(Uploaded, "POST", path, { stream, signal })).Url;
}

interface Answer extends Lacking {
  mirror: string;
}

/** First about directories by their names alone; then about what is in those that are not there. */
async function ask(sender: Sender, tree: TreeFile): Promise<Answer> {
  const all = tree.directories;
  const small = all.reduce((sum, { length }) => sum + length, 0) <= SMALL;
  const whole = new Set(small ? all.map(({ hash }) => hash) : []);
  const first = await askFor(sender, spokenOf(tree, whole, "named"));
  if (small) return { mirror: first.mirror, listings: whole, files: bitsOf(first.files) };
  const listings = new Set(first.listings);
  const { mirror, files } = await askFor(sender, spokenOf(tree, listings, "left out"), first.mirror);
  return { mirror, listings, files: bitsOf(files) };
}

function bitsOf(base64: string): Bits {
  return new Bits(new Uint8Array(Buffer.from(base64, "base64")));
}

async function askFor({ client, app, signal }: Sender, spoken: Iterable<Spoken>, mirror?: string) {
  async function* document(): AsyncGenerator<Bytes> {
    yield* writeDocument(spoken);
  }
  const stream = (): AsyncIterable<Bytes> => zstandard(document());
  return await client.json(Wanted, "POST", `/apps/${app}/sources`, { query: { mirror }, stream, signal });
}

/** One directory has one description, which the next scan believes where nothing has changed. */
async function scan({ state, events }: Sender, context: Context): Promise<TreeFile> {
  const dir = join(state, "trees");
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await forgetOld(dir);
  const name = hashOf(`${context.root.path}\0${context.dockerfile}`);
  let done = 0;
  return await scanTree(context, join(dir, name), (bytes) => {
    done += bytes;
    events.progress?.({ what: "Reading source", done });
  });
}

async function forgetOld(dir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name);
    const used = (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;
    if (Date.now() - used > KEPT) await rm(path, { force: true });
  }
}

/** As the original sends it. */
export async function sendArchive(sender: Sender, { dir, manifest }: Directory): Promise<string> {
  const { client, app, events, signal, isDavit } = sender;
  const compress = isDavit ? zstandard : gzipped;
  const key = `tmp/${Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString("hex")}.tgz`;
  for (let tries = 1; ; tries++) {
    let done = 0;
    const stream = async (): Promise<ByteStream> =>
      counted(compress(contextTar(await openContext(await Root.open(dir), manifest))), (bytes) => {
        done += bytes;
        events.progress?.({ what: "Uploading source", done });
      });
    try {
      return (await client.json(Uploaded, "POST", `/apps/${app}/objects/${key}`, { stream, signal })).Url;
    } catch (error) {
      if (!hasCode(error, "unavailable") || tries === TRIES) throw error;
    }
  }
}

async function* counted(stream: ByteStream, onBytes: (bytes: number) => void): AsyncGenerator<Bytes> {
  for await (const chunk of stream) {
    yield chunk;
    onBytes(chunk.byteLength);
  }
}
