import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** How far they step back: as far as it goes. */
const NICE = 19;
/** As many reads at once bring up every thread of the pool. */
const READS = 32;
const PRIO_PROCESS = 0;

/**
 * Bun's threads for files copy hundreds of megabytes a second while uploads come, and
 * then whoever waits for a small answer waits for them too. Linux lets single threads
 * step back. Where they cannot, nothing is lost.
 */
export async function calmDiskThreads(): Promise<void> {
  if (process.platform !== "linux") return;
  const { dlopen, FFIType } = await import("bun:ffi");
  const { i32 } = FFIType;
  await Promise.all(Array.from({ length: READS }, () => readFile("/proc/self/stat")));
  for (const library of ["libc.so.6", "libc.so"])
    try {
      const { symbols } = dlopen(library, { setpriority: { args: [i32, i32, i32], returns: i32 } });
      for (const thread of diskThreads()) symbols.setpriority(PRIO_PROCESS, thread, NICE);
      return;
    } catch {
      // Another libc, or none that can be called.
    }
}

function diskThreads(): number[] {
  const dir = "/proc/self/task";
  return readdirSync(dir)
    .filter((thread) => readFileSync(`${dir}/${thread}/comm`, "utf8").startsWith("Bun Pool"))
    .map(Number);
}
