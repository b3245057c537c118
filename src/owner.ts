import { readFileSync } from "node:fs";

/**
 * Who holds something that must not outlive its process. A pid alone is reused;
 * together with its start time and the machine's boot it names one process for good.
 */
export interface Owner {
  boot: string;
  pid: number;
  started: string;
}

let self: Owner | undefined;

export function thisProcess(): Owner {
  self ??= { boot: bootId(), pid: process.pid, started: startTime(process.pid) ?? "" };
  return self;
}

/** One word for file names and database rows; `parseOwner` reads it back. */
export function ownerText(owner: Owner): string {
  return `${owner.boot}.${owner.pid}.${owner.started}`;
}

export function parseOwner(text: string): Owner | undefined {
  const [boot, pid, started] = text.split(".");
  if (boot === undefined || pid === undefined || started === undefined || !/^\d+$/.test(pid))
    return undefined;
  return { boot, pid: Number(pid), started };
}

/** Whether the process is known to be gone: another boot of this machine, or no such process now. */
export function isGone(owner: Owner): boolean {
  if (owner.boot !== bootId()) return true;
  if (process.platform === "linux") return startTime(owner.pid) !== owner.started;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch {
    return true;
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
