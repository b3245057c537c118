import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { outputOf } from "../child-output.ts";
import { DavitError } from "../errors.ts";
import { isLoopback } from "../hosts.ts";
import { type Reach, reachable } from "../http/reach.ts";
import { removeScratch } from "../scratch.ts";
import { shellQuote } from "../shell-words.ts";
import type { SourceUrl } from "./source-url.ts";

type Env = Record<string, string | undefined>;

/** Puts one commit of a repository into a directory that is empty, and returns its id. */
export async function clone(
  source: SourceUrl,
  root: string,
  options: { env: Env; signal: AbortSignal; reach?: Reach | undefined },
): Promise<string> {
  const address = options.reach && (await reachable(new URL(source.url), options.reach));
  const secrets = await mkdtemp(join(tmpdir(), "davit-git-"));
  try {
    const git = new Git(root, await gitEnv(source, secrets, options.env, address), options.signal);
    await git.run(["init", "-q"]);
    await git.run(["fetch", "-q", "--depth", "1", "--no-tags", "--", source.url, source.ref || "HEAD"]).catch(
      // Not every server gives a commit by its id alone.
      async (error: unknown) => {
        if (!/^[0-9a-f]{7,64}$/.test(source.ref)) throw error;
        await git.run(["fetch", "-q", "--no-tags", "--", source.url, "+refs/*:refs/remotes/*"]);
        await git.run([
          "update-ref",
          "FETCH_HEAD",
          await git.run(["rev-parse", "--verify", "--end-of-options", `${source.ref}^{commit}`]),
        ]);
      },
    );
    await git.run(["checkout", "-q", "--detach", "FETCH_HEAD"]);
    const gitSha = await git.run(["rev-parse", "--verify", "HEAD"]);
    await rm(join(root, ".git"), { recursive: true, force: true });
    return gitSha;
  } finally {
    await removeScratch(secrets);
  }
}

/**
 * The environment that git runs in: two protocols, no settings of this machine's, no hooks, filters,
 * submodules or helpers, and nothing that asks. Secrets reach it by its environment and a file of its
 * own. `address` is the only one that it may connect to, where that was looked up already.
 */
async function gitEnv(
  source: SourceUrl,
  secrets: string,
  env: Env,
  address: string | undefined,
): Promise<Env> {
  const settings = gitSettings(source, address);
  return {
    ...env,
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "true",
    SSH_ASKPASS: "true",
    GIT_SSH_COMMAND: await sshCommand(source, secrets, env, address),
    GIT_CONFIG_COUNT: String(settings.length),
    ...Object.fromEntries(
      settings.flatMap(([name, value], i) => [
        [`GIT_CONFIG_KEY_${i}`, name],
        [`GIT_CONFIG_VALUE_${i}`, value],
      ]),
    ),
  };
}

type Setting = [name: string, value: string];

const SETTINGS: readonly Setting[] = [
  ["core.hooksPath", "/dev/null"],
  ["credential.helper", ""],
  ["submodule.recurse", "false"],
  ["core.fsmonitor", "false"],
  ["fetch.fsckObjects", "true"],
  ["protocol.allow", "never"],
  ["protocol.https.allow", "always"],
  ["protocol.ssh.allow", "always"],
];

function gitSettings({ url, user, password }: SourceUrl, address: string | undefined): Setting[] {
  const { protocol, origin, hostname, port } = new URL(url);
  const settings = [...SETTINGS];
  if (protocol === "http:") settings.push(["protocol.http.allow", "always"]);
  // git itself would hand even this machine's own addresses to a proxy.
  if (isLoopback(hostname)) settings.push(["http.proxy", ""]);
  if (protocol !== "ssh:" && (user !== "" || password !== "")) {
    const login = Buffer.from(`${user}:${password}`).toString("base64");
    settings.push([`http.${origin}/.extraHeader`, `Authorization: Basic ${login}`]);
  }
  if (address !== undefined) {
    const to = address.includes(":") ? `[${address}]` : address;
    settings.push(["http.followRedirects", "false"]);
    settings.push(["http.curloptResolve", `${hostname}:${port || "443"}:${to}`]);
  }
  return settings;
}

async function sshCommand(
  { url, password }: SourceUrl,
  secrets: string,
  env: Env,
  address: string | undefined,
): Promise<string> {
  const { protocol, hostname } = new URL(url);
  const key = protocol === "ssh:" && password !== "" ? await keyFile(password, secrets) : undefined;
  const ssh = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new"];
  const own =
    env["GIT_SSH_COMMAND"] ?? [...ssh, ...(key ? ["-o", "IdentitiesOnly=yes", "-i", key] : [])].join(" ");
  const fixed = ["-o", `HostName=${address}`, "-o", shellQuote(`HostKeyAlias=${hostname}`)];
  return [own, ...(address === undefined ? [] : fixed)].join(" ");
}

async function keyFile(base64: string, dir: string): Promise<string> {
  const path = join(dir, "key");
  await writeFile(path, Buffer.from(base64, "base64"), { mode: 0o600 });
  return path;
}

/** git in one directory. */
class Git {
  readonly #dir: string;
  readonly #env: Env;
  readonly #signal: AbortSignal;

  constructor(dir: string, env: Env, signal: AbortSignal) {
    this.#dir = dir;
    this.#env = env;
    this.#signal = signal;
  }

  async run(args: string[]): Promise<string> {
    const child = this.#spawn(args);
    const [text, words, code] = await Promise.all([
      outputOf(child.stdout),
      outputOf(child.stderr),
      child.exited,
    ]);
    if (this.#signal.aborted) throw new DavitError("interrupted", "Interrupted");
    if (code === 0) return text.trim();
    throw new DavitError(
      "invalid",
      `Cannot fetch the source: ${lastLine(words) || `git ended with ${code}`}`,
      {
        hint: "see whether the address, the branch and the login are right",
      },
    );
  }

  #spawn(args: string[]) {
    try {
      return Bun.spawn(["git", "-C", this.#dir, ...args], {
        ...{ env: this.#env, stdin: "ignore", stdout: "pipe", stderr: "pipe", signal: this.#signal },
      });
    } catch (error) {
      throw new DavitError("unsupported", "Cannot fetch the source: there is no git here", {
        cause: error,
        hint: "install git, or build a directory",
      });
    }
  }
}

/** git says last what went wrong; what a server says may be of any length. */
function lastLine(text: string): string {
  const lines = text
    .trim()
    .split("\n")
    .filter((line) => !/^(hint|remote: *$|Please make sure|and the repository exists)/.test(line));
  const fatal = lines.findLast((line) => /^(fatal|error|ERROR)/.test(line)) ?? lines.at(-1) ?? "";
  return fatal.replace(/^(fatal|error): /i, "").slice(0, 300);
}
