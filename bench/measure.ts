import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What one command took. */
export interface Measured {
  seconds: number;
  /** Peak resident memory of the process and its children, in MiB. */
  mib: number;
}

interface Options {
  cwd?: string;
  env?: Record<string, string | undefined>;
  /** A file that comes in through a real pipe. */
  piped?: string;
}

/** Between looks at the process's memory, in milliseconds. */
const SAMPLE = 10;

/** Runs a command to its end, which must be a success. What others left for the disk to write is written first. */
export async function measure(command: string[], { piped, ...options }: Options = {}): Promise<Measured> {
  Bun.spawnSync(["sync"]);
  const began = performance.now();
  const stdin = piped === undefined ? "ignore" : Bun.spawn(["cat", piped], { stdout: "pipe" }).stdout;
  const child = Bun.spawn(command, { ...options, stdin, stdout: "ignore", stderr: "pipe" });
  const memory = new Memory(child.pid);
  const timer = setInterval(() => memory.sample(), SAMPLE);
  const stderr = await new Response(child.stderr).text();
  const code = await child.exited;
  clearInterval(timer);
  const seconds = (performance.now() - began) / 1000;
  if (code !== 0) throw new Error(`${command.join(" ")} exited ${code}: ${stderr}`);
  return { seconds, mib: memory.peak() };
}

/** The kernel's own high-water mark of each process, added up. (`ru_maxrss` would count the parent's before exec.) */
export class Memory {
  readonly #root: number;
  readonly #peaks = new Map<number, number>();
  readonly #programs = new Map<number, string>();

  constructor(root: number) {
    this.#root = root;
  }

  sample(): void {
    const pending = [this.#root];
    for (let pid = pending.pop(); pid !== undefined; pid = pending.pop()) {
      try {
        const kib = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
        this.#programs.set(pid, readlinkSync(`/proc/${pid}/exe`));
        this.#peaks.set(pid, Math.max(this.#peaks.get(pid) ?? 0, kib));
        for (const task of readdirSync(`/proc/${pid}/task`))
          pending.push(
            ...readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
              .split(" ")
              .filter(Boolean)
              .map(Number),
          );
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  /** In MiB; of one program only, by its path, where others merely watch it. */
  peak(program?: string): number {
    const counted = [...this.#peaks].filter(
      ([pid]) => program === undefined || this.#programs.get(pid) === program,
    );
    return counted.reduce((sum, [, kib]) => sum + kib, 0) / 1024;
  }
}
