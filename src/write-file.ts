import { lstat, open, rename, rm, writeFile } from "node:fs/promises";
import type { ByteStream } from "./bytes.ts";
import { systemCode, systemError } from "./errors.ts";
import { refuseDatabase } from "./plain-file.ts";

/**
 * Writes a stream to a file that appears under its name only when it is whole, with this mode.
 * Pipes and devices are written in place.
 */
export async function writeFileStream(path: string, stream: ByteStream, mode = 0o644): Promise<void> {
  refuseDatabase(path);
  const special = await isSpecial(path);
  const target = special ? path : `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  try {
    const file = await open(target, special ? "r+" : "wx", mode);
    try {
      for await (const chunk of stream)
        for (let at = 0; at < chunk.byteLength; ) at += (await file.write(chunk, at)).bytesWritten;
    } finally {
      await file.close();
    }
    if (!special) await rename(target, path);
  } catch (error) {
    if (!special) await rm(target, { force: true });
    throw systemError(`Cannot write ${path}`, error);
  }
}

async function isSpecial(path: string): Promise<boolean> {
  try {
    const info = await lstat(path);
    return !info.isFile() && !info.isDirectory();
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw systemError(`Cannot write ${path}`, error);
  }
}

/** Readers see the old text or the new, never half of one. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const next = `${path}.${crypto.randomUUID()}`;
  await writeFile(next, text, { mode: 0o600, flush: true });
  await rename(next, path);
}
