import { chmod, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/** What others may do, of a file's mode. */
const OTHERS = 0o077;

/**
 * Takes from other users what an earlier davit gave them: a rack's directory is its owner's alone,
 * and so is all that lies right in it. Windows keeps permissions elsewhere.
 */
export async function keepPrivate(dir: string): Promise<void> {
  if (process.platform === "win32") return;
  // A key that others could read is not made secret again by this: openSeal refuses it.
  const names = (await readdir(dir)).filter((name) => name !== "key" && name !== "key.next");
  await Promise.all(["", ...names].map((name) => tighten(join(dir, name)).catch(() => undefined)));
}

/** What has gone meanwhile, or belongs to somebody else, is left as it is. */
async function tighten(path: string): Promise<void> {
  const info = await lstat(path);
  if ((info.mode & OTHERS) === 0 || !(info.isFile() || info.isDirectory())) return;
  await chmod(path, info.mode & 0o777 & ~OTHERS);
}
