import { constants, fstatSync, openSync } from "node:fs";

const twins = new Map<number, number>();
const wide = new Set<number>();

/** Linux's request for a pipe's room, and what every user may ask for: https://man7.org/linux/man-pages/man2/F_SETPIPE_SZ.2const.html */
const F_SETPIPE_SZ = 1031;
const ROOM = 1024 * 1024;

/**
 * A pipe that somebody has made non-blocking answers EAGAIN whenever it is full or
 * empty, and polling it makes 25 MB/s of what could be a gigabyte. Opened once more
 * by its name in /proc it blocks, on a thread where that hurts nobody. Undefined
 * where there is no such way.
 */
export function blockingTwin(fd: number): number | undefined {
  const known = twins.get(fd);
  if (known !== undefined || !isPipe(fd)) return known;
  try {
    const twin = openSync(`/proc/self/fd/${fd}`, fd === 0 ? constants.O_RDONLY : constants.O_WRONLY);
    twins.set(fd, twin);
    return twin;
  } catch {
    return undefined;
  }
}

/** The twin, if there is one already. */
export function knownTwin(fd: number): number {
  return twins.get(fd) ?? fd;
}

/** Gives a pipe more room than its 64 KiB: with fewer and larger reads it is twice as fast. Where that cannot be, nothing is lost. */
export async function widen(fd: number): Promise<void> {
  if (wide.has(fd)) return;
  wide.add(fd);
  if (process.platform !== "linux" || !isPipe(fd)) return;
  const { dlopen, FFIType } = await import("bun:ffi");
  for (const library of ["libc.so.6", "libc.so"])
    try {
      const { i32 } = FFIType;
      const { symbols } = dlopen(library, { fcntl: { args: [i32, i32, i32], returns: i32 } });
      symbols.fcntl(fd, F_SETPIPE_SZ, ROOM);
      return;
    } catch {
      // Another libc, or none that can be called.
    }
}

function isPipe(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO();
  } catch {
    return false;
  }
}
