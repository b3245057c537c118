import { lstat, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import type { ByteStream } from "../bytes.ts";
import { DavitError, systemError } from "../errors.ts";
import { trustOf } from "../http/host-trust.ts";
import { discard, request } from "../http/request.ts";
import { bodyOf } from "../http/response-body.ts";
import { clone } from "./git-source.ts";
import type { SourceUrl } from "./source-url.ts";
import { unpack, unpackEntries } from "./unpack.ts";

export interface FetchOptions {
  env: Record<string, string | undefined>;
  signal: AbortSignal;
}

/** A project that was fetched. */
export interface Fetched {
  dir: string;
  /** The commit, where it came from git. */
  gitSha?: string;
}

/** Fetches a project into a directory that is empty and its own. */
export async function fetchSource(source: SourceUrl, root: string, options: FetchOptions): Promise<Fetched> {
  const gitSha = source.kind === "git" ? await clone(source, root, options) : undefined;
  if (source.kind !== "git") await download(source, root, options);
  return { dir: await inside(root, source.subdir), ...(gitSha === undefined ? {} : { gitSha }) };
}

/** Links in a repository may lead anywhere; the project's own directory must not. */
async function inside(root: string, subdir: string): Promise<string> {
  const base = await realpath(root);
  const dir = await realpath(join(base, subdir)).catch((error: unknown) => {
    throw systemError(`Cannot build directory ${subdir} of it`, error);
  });
  if (dir !== base && !dir.startsWith(base + sep))
    throw new DavitError(
      "invalid",
      `Cannot build directory ${JSON.stringify(subdir)}: it leads out of the repository`,
    );
  if (!(await lstat(dir)).isDirectory())
    throw new DavitError("invalid", `Cannot build ${JSON.stringify(subdir)}: it is not a directory`);
  return dir;
}

/** A `.tgz` or `.zip` over http; logins stay with the host they are for. */
async function download(source: SourceUrl, root: string, { env, signal }: FetchOptions): Promise<void> {
  const { host } = new URL(source.url);
  const login = Buffer.from(`${source.user}:${source.password}`).toString("base64");
  const authorization = source.user + source.password === "" ? {} : { authorization: `Basic ${login}` };
  const response = await request(source.url, { signal, trust: await trustOf(host, env), ...authorization });
  if (response.status !== 200) {
    await discard(response);
    throw new DavitError("not-found", `Cannot fetch the source: ${host} answered ${response.status}`);
  }
  const body = bodyOf(response, "the source", signal);
  if (source.kind === "tgz") await unpack(body, root, signal);
  else await unzip(body, root, signal);
}

/** A zip is read from its end, so all of it has to be here first. */
async function unzip(stream: ByteStream, root: string, signal: AbortSignal): Promise<void> {
  const [{ readZip }, { writeFileStream }] = await Promise.all([
    import("./read-zip.ts"),
    import("../write-file.ts"),
  ]);
  const dir = await mkdtemp(join(tmpdir(), "davit-zip-"));
  try {
    await writeFileStream(join(dir, "source.zip"), stream);
    await unpackEntries(readZip(join(dir, "source.zip")), root, signal);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
