import { chown, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./registry.ts";

const DEBIAN = "/usr/lib/postgresql";
/** Seconds a server may take to start. */
const PATIENCE = 30;

/** A real PostgreSQL of its own, on loopback, with as many databases as tests want. */
export class PostgresServer implements AsyncDisposable {
  readonly #dir: string;
  readonly #bin: string;
  readonly #port: number;
  #databases = 0;

  private constructor(dir: string, bin: string, port: number) {
    this.#dir = dir;
    this.#bin = bin;
    this.#port = port;
  }

  static async start(): Promise<PostgresServer> {
    const dir = `/tmp/davit-postgres-${crypto.randomUUID().slice(0, 8)}`;
    const server = new PostgresServer(dir, await binaries(), await freePort());
    await mkdir(dir, { mode: 0o700 });
    if (isRoot()) await chown(dir, await idOf("-u"), await idOf("-g"));
    await server.#run("initdb", ["-D", join(dir, "data"), "-A", "trust", "-U", "davit", "-E", "UTF8"]);
    await server.up();
    return server;
  }

  async up(): Promise<void> {
    const settings = `-k ${this.#dir} -p ${this.#port} -c listen_addresses=127.0.0.1`;
    const more = ["-w", "-t", String(PATIENCE), "-l", join(this.#dir, "log"), "-o", settings];
    await this.#run("pg_ctl", ["-D", join(this.#dir, "data"), ...more, "start"]);
  }

  /** `immediate` is what a crash is like. */
  async down(mode: "fast" | "immediate" = "fast"): Promise<void> {
    await this.#run("pg_ctl", ["-D", join(this.#dir, "data"), "-w", "-m", mode, "stop"]);
  }

  /** The address of a new database. */
  async database(): Promise<string> {
    const name = `rack${++this.#databases}`;
    await this.#run("createdb", ["-h", "127.0.0.1", "-p", String(this.#port), "-U", "davit", name]);
    return `postgres://davit:unused@127.0.0.1:${this.#port}/${name}`;
  }

  async #run(command: string, args: string[]): Promise<void> {
    const as = isRoot() ? ["runuser", "-u", "postgres", "--"] : [];
    const child = Bun.spawn([...as, join(this.#bin, command), ...args], {
      cwd: "/tmp",
      stdout: "ignore",
      stderr: "pipe",
    });
    // The server inherits what pg_ctl has: reading to the end would wait for it.
    if ((await child.exited) === 0) return;
    throw new Error(`${command} failed: ${await new Response(child.stderr).text()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down("immediate").catch(() => undefined);
    await rm(this.#dir, { recursive: true, force: true });
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

async function idOf(flag: string): Promise<number> {
  return Number(await new Response(Bun.spawn(["id", flag, "postgres"]).stdout).text());
}

async function binaries(): Promise<string> {
  const versions = await readdir(DEBIAN).catch(() => []);
  const newest = versions.sort((a, b) => Number(a) - Number(b)).at(-1);
  if (newest === undefined) throw new Error("PostgreSQL is missing: apt-get install postgresql");
  return join(DEBIAN, newest, "bin");
}
