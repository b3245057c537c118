import { readFileSync, readlinkSync } from "node:fs";

/**
 * Who holds something that must not outlive its process. A pid alone is reused;
 * with its start time, its pid namespace and the machine's boot it names one
 * process for good.
 */
export interface Owner {
  boot: string;
  namespace: string;
  pid: number;
  started: string;
}

let self: Owner | undefined;

export function thisProcess(): Owner {
  self ??= {
    boot: bootId(),
    namespace: pidNamespace(),
    pid: process.pid,
    started: startTime(process.pid) ?? "",
  };
  return self;
}

/** One word for file names and database rows; `parseOwner` reads it back. */
export function ownerText({ boot, namespace, pid, started }: Owner): string {
  return [boot, namespace, pid, started].join(".");
}

export function parseOwner(text: string): Owner | undefined {
  const [boot, namespace, pid, started] = text.split("."); // more may follow
  if (boot === undefined || namespace === undefined || started === undefined || !/^\d+$/.test(pid ?? ""))
    return undefined;
  return { boot, namespace, pid: Number(pid), started };
}

/**
 * Whether the process runs. Another boot of the machine ended it; in another
 * container's pid namespace it cannot be seen from here, so only time can tell.
 */
export function stateOf(owner: Owner): "alive" | "gone" | "unknown" {
  const here = thisProcess();
  if (owner.boot !== here.boot) return "gone";
  if (owner.namespace !== here.namespace) return "unknown";
  if (process.platform === "linux") return startTime(owner.pid) === owner.started ? "alive" : "gone";
  try {
    process.kill(owner.pid, 0);
    return "alive";
  } catch {
    return "gone";
  }
}

/**
 * Whether an owner's work is abandoned: it is gone, or cannot be seen and has been silent
 * since `until` (ms since 1970). Where machines share work, another boot may be another machine.
 */
export function isAbandoned(text: string, until: number, now: number, shared = false): boolean {
  const owner = parseOwner(text);
  const elsewhere = owner === undefined || (shared && owner.boot !== thisProcess().boot);
  const state = elsewhere ? "unknown" : stateOf(owner);
  return state === "gone" || (state === "unknown" && until < now);
}

function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
  } catch {
    return "0";
  }
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "boot";
  }
}

/** Field 22 of /proc/PID/stat, in clock ticks since boot; a zombie counts as gone. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return process.platform === "linux" ? undefined : "";
  }
}
