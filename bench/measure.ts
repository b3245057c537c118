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
    const pending: { pid: number; parent?: Look }[] = [{ pid: this.#root }];
    for (let next = pending.pop(); next; next = pending.pop()) {
      const { pid, parent } = next;
      try {
        const look = lookAt(pid);
        if (!isStill(look, parent)) {
          this.#programs.set(pid, look.program);
          this.#peaks.set(pid, Math.max(this.#peaks.get(pid) ?? 0, look.peak));
        }
        for (const task of readdirSync(`/proc/${pid}/task`))
          for (const child of readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
            .split(" ")
            .filter(Boolean))
            pending.push({ pid: Number(child), parent: look });
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

interface Look {
  program: string;
  /** In KiB. */
  size: number;
  peak: number;
}

function lookAt(pid: number): Look {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
  return { program: readlinkSync(`/proc/${pid}/exe`), size: kib("VmSize"), peak: kib("VmHWM") };
}

/** Between vfork and exec a child *is* its parent: the same memory, which must not be counted twice. */
function isStill(look: Look, parent: Look | undefined): boolean {
  return parent !== undefined && look.program === parent.program && look.size === parent.size;
}
