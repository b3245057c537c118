import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { eachField } from "../docker-api/buildkit-messages.ts";
import type { SessionCall } from "../docker-api/session.ts";
import { Garbage } from "../garbage.ts";
import type { Root } from "../root.ts";
import { type Context, type ContextItem, walkContext, walkPaths } from "./context.ts";
import { ContextSize } from "./context-size.ts";
import { openXattrs, type XattrReader } from "./xattrs.ts";

/*
 * The sender of fsutil's protocol, by which BuildKit takes files out of a session:
 * first every file's metadata in walk order, numbered as it goes, then the content
 * of those it asks for. https://github.com/tonistiigi/fsutil/blob/master/types/wire.proto
 */

const STAT = 0;
const REQUEST = 1;
const DATA = 2;
const FINISH = 3;

/** Bytes of a file sent at a time; tests send more, which Bun's HTTP/2 alone could not. */
const PIECE = 64 * 1024;
/** Metadata that goes out at once, in bytes: a message for each file by itself is slow. */
const BATCH = 32 * 1024;
/** How often a piece is copied on its way: into a message, and into its frame. */
const COPIES = 2;

export interface FileSyncOptions {
  /** Bytes of content that went out. */
  onSent(bytes: number): void;
  onListed?: ((size: ContextSize) => void) | undefined;
  /** Something a reader of the build's log may want to know. */
  onNote?: ((text: string) => void) | undefined;
  piece?: number | undefined;
}

/** Answers `FileSync/DiffCopy`: the Dockerfile and ignore files by name, and the context as its ignore rules leave it. */
export function fileSync(
  context: Context,
  { onSent, onListed = () => undefined, onNote = () => undefined, piece = PIECE }: FileSyncOptions,
): (call: SessionCall) => Promise<void> {
  return async (call) => {
    const items = chosen(context, call);
    const sender = new Sender(context.root, call, { onSent, onNote, piece });
    const listing = sender.list(items).then(onListed);
    await Promise.all([listing, sender.answer(listing)]);
  };
}

/** The engine asks for single files first; what it names later of the context it may get with the rest. */
function chosen(context: Context, call: SessionCall): AsyncIterable<ContextItem> {
  const follow = call.metadata("followpaths");
  const single =
    call.metadata("dir-name")[0] === "dockerfile" || (follow.length === 1 && follow[0] === ".dockerignore");
  return single ? walkPaths(context.root, follow) : walkContext(context, false);
}

interface Sending {
  onSent(bytes: number): void;
  onNote(text: string): void;
  piece: number;
}

class Sender {
  readonly #root: Root;
  readonly #call: SessionCall;
  readonly #onSent: (bytes: number) => void;
  readonly #onNote: (text: string) => void;
  readonly #piece: number;
  readonly #garbage = new Garbage();
  #reader: XattrReader | "none" | undefined;
  /** Paths of files by their numbers; of the rest nothing can be asked. */
  readonly #files: (string | undefined)[] = [];

  constructor(root: Root, call: SessionCall, { onSent, onNote, piece }: Sending) {
    this.#root = root;
    this.#call = call;
    this.#onSent = onSent;
    this.#onNote = onNote;
    this.#piece = piece;
  }

  async list(items: AsyncIterable<ContextItem>): Promise<ContextSize> {
    const links = new Map<string, string>();
    const size = new ContextSize();
    let waiting: Uint8Array[] = [];
    let bytes = 0;
    for await (const item of items) {
      this.#files.push(item.type === "file" ? item.path : undefined);
      size.add(item.path, item.size);
      const message = packet(STAT, { stat: stat(this.#root, item, links, this.#xattrs(item)) });
      waiting.push(message);
      bytes += message.byteLength;
      if (bytes < BATCH) continue;
      await this.#call.send(...waiting);
      [waiting, bytes] = [[], 0];
    }
    await this.#call.send(...waiting, packet(STAT, {}));
    return size;
  }

  /** Only what a program may do, its capabilities, gets into an image; other files are not asked. */
  #xattrs({ type, mode, path }: ContextItem): Map<string, Uint8Array> | undefined {
    if (type !== "file" || (mode & 0o111) === 0) return undefined;
    this.#reader ??= openXattrs() ?? this.#noReader();
    return this.#reader === "none" ? undefined : this.#reader(join(this.#root.path, path));
  }

  #noReader(): "none" {
    this.#onNote("WARNING: extended attributes are not sent: this system has none that davit can read");
    return "none";
  }

  /** Until the engine says it has all it wants. */
  async answer(listing: Promise<void>): Promise<void> {
    for await (const message of this.#call.messages) {
      const { type, id } = parse(message);
      if (type === REQUEST) await this.#content(id);
      if (type !== FINISH) continue;
      await listing;
      return await this.#call.send(packet(FINISH, {}));
    }
  }

  async #content(id: number): Promise<void> {
    const path = this.#files[id];
    if (path !== undefined) {
      const file = await this.#root.openFound(path);
      try {
        const buffer = new Uint8Array(this.#piece);
        for (let at = 0; ; ) {
          const { bytesRead } = await file.read(buffer, 0, this.#piece, at);
          if (bytesRead === 0) break;
          at += bytesRead;
          this.#onSent(bytesRead);
          this.#garbage.made(COPIES * bytesRead);
          await this.#call.send(packet(DATA, { id, data: buffer.subarray(0, bytesRead) }));
        }
      } finally {
        await file.close();
      }
    }
    await this.#call.send(packet(DATA, { id }));
  }
}

function packet(
  type: number,
  { stat, id, data }: { stat?: Uint8Array; id?: number; data?: Uint8Array },
): Uint8Array {
  const writer = new BinaryWriter();
  if (type !== STAT) writer.tag(1, 0).int32(type);
  if (stat) writer.tag(2, 2).bytes(stat);
  if (id) writer.tag(3, 0).uint32(id);
  if (data) writer.tag(4, 2).bytes(data);
  return writer.finish();
}

function parse(message: Uint8Array): { type: number; id: number } {
  const found = { type: STAT, id: 0 };
  eachField(message, (field, reader) => {
    if (field === 1) found.type = reader.int32();
    else if (field === 3) found.id = reader.uint32();
    else return false;
    return true;
  });
  return found;
}

/** Go's os.FileMode bits beside the permissions. */
const MODES = { directory: 2 ** 31, symlink: 2 ** 27, fifo: 2 ** 25, file: 0 };

/** A hard link names the first path and keeps its real size: with 0, every rebuild would link it anew. */
function stat(
  root: Root,
  item: ContextItem,
  links: Map<string, string>,
  xattrs: Map<string, Uint8Array> = new Map(),
): Uint8Array {
  const special =
    (item.mode & 0o4000 ? 2 ** 23 : 0) +
    (item.mode & 0o2000 ? 2 ** 22 : 0) +
    (item.mode & 0o1000 ? 2 ** 20 : 0);
  const writer = new BinaryWriter();
  writer.tag(1, 2).string(item.path);
  writer.tag(2, 0).uint32(MODES[item.type] + special + (item.mode & 0o777));
  if (item.size > 0) writer.tag(5, 0).int64(item.size);
  writer.tag(6, 0).int64(item.mtimeNs);
  const link = item.type === "symlink" ? readlinkSync(join(root.path, item.path)) : links.get(item.inode);
  if (link !== undefined) writer.tag(7, 2).string(link);
  if (item.inode !== "" && link === undefined) links.set(item.inode, item.path);
  for (const [name, value] of xattrs)
    writer.tag(10, 2).bytes(new BinaryWriter().tag(1, 2).string(name).tag(2, 2).bytes(value).finish());
  return writer.finish();
}
