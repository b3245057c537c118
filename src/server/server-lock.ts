import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DavitError, hasCode } from "../errors.ts";
import { FileLock } from "../lock.ts";

/** One server at a time in a directory. */
export class ServerLock implements AsyncDisposable {
  readonly #lock: FileLock;
  readonly #pidFile: string;

  private constructor(lock: FileLock, pidFile: string) {
    this.#lock = lock;
    this.#pidFile = pidFile;
  }

  /** A second server is refused, and told which process is the first. */
  static async take(dir: string): Promise<ServerLock> {
    const pidFile = join(dir, "server.pid");
    try {
      const lock = await FileLock.take(join(dir, "server-lock.db"), `serve ${dir}`, 0);
      await writeFile(pidFile, `${process.pid}\n`, { mode: 0o600 });
      return new ServerLock(lock, pidFile);
    } catch (error) {
      if (!hasCode(error, "busy")) throw error;
      const pid = await readFile(pidFile, "utf8").catch(() => "unknown");
      throw new DavitError("conflict", `Cannot serve ${dir}: process ${pid.trim()} serves it already`, {
        cause: error,
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#pidFile, { force: true });
    this.#lock[Symbol.dispose]();
  }
}
