import { join } from "node:path";

/** What was seen of a server while it was watched. */
export interface Seen {
  /** The slowest answer to `/check`, in milliseconds. */
  slowest: number;
  /** The same without the time in which it had no processor, because other programs had them all. */
  held: number;
  /** The slowest of a server that nobody uses, in the same time: what the machine itself takes. */
  control: number;
  failures: number;
}

/** Asks a server, and one that is idle, for `/check` every 20 ms, from a process of its own. */
export function watch({ url, control, pid }: { url: string; control: string; pid: number }): {
  stop(): Promise<Seen>;
} {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "watcher.ts"), url, control, String(pid)],
    {
      stdin: "pipe",
      stdout: "pipe",
    },
  );
  return {
    async stop() {
      await child.stdin.end();
      return JSON.parse(await new Response(child.stdout).text());
    },
  };
}

/** The most memory that a process has had, in MiB. */
export async function peakMemory(pid: number): Promise<number> {
  const status = await Bun.file(`/proc/${pid}/status`).text();
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
}
