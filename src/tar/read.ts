import type { ByteStream, Bytes } from "../bytes.ts";
import { BlockReader } from "./block-reader.ts";
import {
  BLOCK,
  bad,
  cut,
  decodeName,
  type EntryType,
  entryType,
  isZero,
  parseHeader,
  type RawHeader,
  shown,
} from "./header.ts";
import { type Overrides, parsePax } from "./pax.ts";

/** One member of an archive. Its body must be read, or left, before the next is asked for. */
export interface TarEntry {
  name: string;
  type: EntryType;
  linkname: string;
  mode: number;
  /** Seconds since 1970. */
  mtime: number;
  /** Bytes of the body; 0 for anything but files. */
  size: number;
  /** Where the body starts in the archive, in bytes. */
  offset: number;
  body: ByteStream;
}

export interface ReadTarOptions {
  /** Told once about archives that lack their end marker, which are accepted. */
  onWarning?: (text: string) => void;
}

const MAX_ENTRIES = 1_000_000;
const MAX_EXTENDED = 1024 * 1024;
const MAX_NAME = 4096;

/**
 * Reads an archive in one pass and constant memory: ustar, PAX and GNU names and
 * numbers. Anything after the end marker, sparse files, and headers beyond the
 * limits are errors. Nothing is extracted; names are only text.
 */
export async function* readTar(stream: ByteStream, options: ReadTarOptions = {}): AsyncGenerator<TarEntry> {
  const reader = new BlockReader(stream);
  try {
    yield* entries(reader, options);
  } finally {
    await reader.close();
  }
}

async function* entries(reader: BlockReader, options: ReadTarOptions): AsyncGenerator<TarEntry> {
  let overrides: Overrides = {};
  let count = 0;
  for (;;) {
    const at = reader.offset;
    const block = reader.blockAtHand() ?? (await reader.block());
    if (block === undefined) {
      if (at === 0) throw bad("it is empty");
      options.onWarning?.("the archive lacks its end marker");
      return;
    }
    if (isZero(block)) return await expectEnd(reader, count);
    const header = parseHeader(block, at);
    if (isExtended(header)) {
      overrides = { ...overrides, ...(await readExtended(reader, header)) };
      continue;
    }
    if (++count > MAX_ENTRIES) throw bad(`it has more than ${MAX_ENTRIES} entries`);
    const entry = new Member(reader, header, overrides);
    yield entry;
    await entry.leave();
    overrides = {};
  }
}

class Member implements TarEntry {
  readonly name: string;
  readonly type: EntryType;
  readonly linkname: string;
  readonly mode: number;
  readonly mtime: number;
  readonly size: number;
  readonly offset: number;
  readonly #reader: BlockReader;
  #left: number;

  constructor(reader: BlockReader, header: RawHeader, overrides: Overrides) {
    this.name = overrides.name ?? header.name;
    if (this.name.length > MAX_NAME) throw bad(`an entry's name is longer than ${MAX_NAME} characters`);
    if (overrides.sparse || header.typeflag === "S") throw bad(`entry ${shown(this.name)} is a sparse file`);
    this.type = entryType(header.typeflag, this.name);
    this.linkname = overrides.linkname ?? header.linkname;
    if (this.linkname.length > MAX_NAME)
      throw bad(`entry ${shown(this.name)} links to a name longer than ${MAX_NAME} characters`);
    this.mode = header.mode;
    this.mtime = overrides.mtime ?? header.mtime;
    this.size = this.type === "file" || this.type === "other" ? (overrides.size ?? header.size) : 0;
    this.offset = reader.offset;
    this.#reader = reader;
    this.#left = this.size;
  }

  get body(): ByteStream {
    return this.#read();
  }

  async *#read(): AsyncGenerator<Bytes> {
    while (this.#left > 0) {
      const piece = await this.#reader.piece(this.#left);
      if (piece === undefined) throw cut(`it ends inside entry ${shown(this.name)}`);
      this.#left -= piece.byteLength;
      yield piece;
    }
  }

  /** Skips what nobody read, and what fills the last block. */
  async leave(): Promise<void> {
    if (this.size === 0) return;
    if (!(await this.#reader.skip(this.#left))) throw cut(`it ends inside entry ${shown(this.name)}`);
    this.#left = 0;
    await this.#reader.skipPadding(this.size);
  }
}

function isExtended(header: RawHeader): boolean {
  return "xgLK".includes(header.typeflag);
}

/** What an extended header says of the entry that follows. */
async function readExtended(reader: BlockReader, header: RawHeader): Promise<Overrides> {
  if (header.size > MAX_EXTENDED) throw bad(`an extended header is larger than ${MAX_EXTENDED} bytes`);
  const body = await reader.exactly(header.size);
  await reader.skipPadding(header.size);
  if (header.typeflag === "x") return parsePax(body);
  if (header.typeflag === "g") return {};
  const end = body.indexOf(0);
  const text = decodeName(end < 0 ? body : body.subarray(0, end));
  return header.typeflag === "L" ? { name: text } : { linkname: text };
}

async function expectEnd(reader: BlockReader, count: number): Promise<void> {
  if (count === 0) throw bad("it holds no entries");
  for (;;) {
    const piece = await reader.piece(BLOCK * 2048);
    if (piece === undefined) return;
    if (!isZero(piece)) throw bad("there is something after its end");
  }
}
