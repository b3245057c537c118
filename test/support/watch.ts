import { join } from "node:path";

/** What a watch over a server has measured. */
export interface Seen {
  /** The slowest answer to `/check`, in milliseconds. */
  slowest: number;
  /** The slowest answer, less the time in which the server waited for a processor that other programs had. */
  held: number;
  /** The slowest answer of an idle server in the same time: the delay that the machine itself causes. */
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
