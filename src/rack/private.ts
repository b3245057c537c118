import { chmod, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/** The bits of a file's mode that let other users do something. */
const OTHERS = 0o077;

/**
 * Takes all permissions of other users from a rack's directory and from what lies directly in it:
 * an earlier davit let them read. Does nothing on Windows, which has no such modes.
 */
export async function keepPrivate(dir: string): Promise<void> {
  if (process.platform === "win32") return;
  // A key that others could read is not made secret again by this: openSeal refuses it.
  const names = (await readdir(dir)).filter((name) => name !== "key" && name !== "key.next");
  await Promise.all(["", ...names].map((name) => tighten(join(dir, name)).catch(() => undefined)));
}

/** Leaves links and devices as they are. */
async function tighten(path: string): Promise<void> {
  const info = await lstat(path);
  if ((info.mode & OTHERS) === 0 || !(info.isFile() || info.isDirectory())) return;
  await chmod(path, info.mode & 0o777 & ~OTHERS);
}
