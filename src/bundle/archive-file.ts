import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { DavitError, hasCode, systemError } from "../errors.ts";
import { digestAlgorithm } from "../oci/digest.ts";
import { DiskWriter } from "../oci/disk-writer.ts";
import { eachOf } from "../oci/walk.ts";
import { headerBlocks } from "../tar/write.ts";
import { type ArchivePlan, type PlannedEntry, tarEntry, tarSize } from "./archive-plan.ts";

export interface ArchiveFileEvents {
  bytes?(count: number): void;
  warning?(text: string): void;
}

/** What is smaller is not worth another thread, in bytes. */
const LARGE = 4 * 1024 * 1024;
/** Entries under way at once. */
const WIDTH = 3;

interface Target {
  file: FileHandle;
  disk: DiskWriter | undefined;
  on: ArchiveFileEvents;
}

type LargeTarget = Omit<Target, "disk"> & { disk: DiskWriter };

/**
 * Writes a planned archive to a file. Every entry's place is known beforehand, so
 * several come at once, and one that came damaged is fetched again in its place.
 * The file has its name only when it is whole.
 */
export async function writeArchiveFile(
  path: string,
  plan: ArchivePlan,
  on: ArchiveFileEvents = {},
): Promise<void> {
  // The thread comes up while the small entries are fetched.
  const needed = plan.entries.some(({ size, unverified }) => unverified && size > LARGE);
  const disk = needed ? new DiskWriter() : undefined;
  const part = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  try {
    const file = await open(part, "wx", 0o644);
    try {
      await file.truncate(plan.size);
      const target = { file, disk, on };
      await eachOf([...placed(plan.entries)], WIDTH, ({ entry, offset }) =>
        writeEntry(target, entry, offset),
      );
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw systemError(`Cannot write ${path}`, error);
  } finally {
    disk?.[Symbol.dispose]();
  }
}

function* placed(entries: PlannedEntry[]): Generator<{ entry: PlannedEntry; offset: number }> {
  let offset = 0;
  for (const entry of entries) {
    yield { entry, offset };
    offset += tarSize(entry.size);
  }
}

async function writeEntry({ file, disk, on }: Target, entry: PlannedEntry, offset: number): Promise<void> {
  const header = await headerBlocks(tarEntry(entry));
  await writeAt(file, header, offset);
  const body = () => writeBody({ file, disk, on }, entry, offset + header.byteLength);
  try {
    await body();
  } catch (error) {
    if (!hasCode(error, "mismatch")) throw error;
    on.warning?.(`${error.message}; fetching it once more`);
    await body();
  }
}

/** What is large is hashed and written on another thread, while its next bytes come. */
async function writeBody(target: Target, entry: PlannedEntry, offset: number): Promise<void> {
  const { file, disk, on } = target;
  if (disk && entry.unverified && entry.size > LARGE)
    return await writeLarge({ file, disk, on }, entry, entry.unverified, offset);
  let at = offset;
  for await (const chunk of await entry.open()) {
    await writeAt(file, chunk, at);
    at += chunk.byteLength;
    on.bytes?.(chunk.byteLength);
  }
}

async function writeLarge(
  { file, disk, on }: LargeTarget,
  entry: PlannedEntry,
  { digest, open: begin }: NonNullable<PlannedEntry["unverified"]>,
  offset: number,
): Promise<void> {
  const region = disk.region(file.fd, offset, digestAlgorithm(digest));
  try {
    for await (const chunk of await begin()) {
      const length = chunk.byteLength;
      if (region.size + length > entry.size) break;
      await region.write(chunk);
      on.bytes?.(length);
    }
  } catch (error) {
    await region.abort();
    throw error;
  }
  const found = await region.finish();
  if (found !== digest || region.size !== entry.size)
    throw new DavitError(
      "mismatch",
      `Cannot verify ${digest}: got ${region.size} bytes with digest ${found}`,
      {
        hint: "the content is damaged where it comes from; make or fetch it again",
      },
    );
}

async function writeAt(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; )
    done += (await file.write(bytes, done, bytes.byteLength - done, offset + done)).bytesWritten;
}
