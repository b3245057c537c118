import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { trustOf } from "../http/host-trust.ts";
import type { Reach } from "../http/reach.ts";
import { discard, request } from "../http/request.ts";
import { bodyOf } from "../response-body.ts";
import { Root } from "../root.ts";
import { removeScratch } from "../scratch.ts";
import { clone } from "./git-source.ts";
import type { SourceUrl } from "./source-url.ts";
import { unpack, unpackEntries } from "./unpack.ts";

export interface FetchOptions {
  env: Record<string, string | undefined>;
  signal: AbortSignal;
  /** Only from there; undefined is anywhere. */
  reach?: Reach | undefined;
}

/** A project that was fetched. */
export interface Fetched {
  dir: string;
  /** The commit, where it came from git. */
  gitSha?: string;
}

/** Fetches a project into a directory that is empty and its own. Links in it may lead anywhere: it is read as a Root. */
export async function fetchSource(source: SourceUrl, root: string, options: FetchOptions): Promise<Fetched> {
  const gitSha = source.kind === "git" ? await clone(source, root, options) : undefined;
  if (source.kind !== "git") await download(source, root, options);
  const { path } = await (await Root.open(root)).directory(source.subdir);
  return { dir: path, ...(gitSha === undefined ? {} : { gitSha }) };
}

/** A `.tgz` or `.zip` over http; logins stay with the host they are for. */
async function download(
  source: SourceUrl,
  root: string,
  { env, signal, reach }: FetchOptions,
): Promise<void> {
  const { host } = new URL(source.url);
  const login = Buffer.from(`${source.user}:${source.password}`).toString("base64");
  const authorization = source.user + source.password === "" ? {} : { authorization: `Basic ${login}` };
  const trust = await trustOf(host, env);
  const response = await request(source.url, { signal, trust, reach, ...authorization });
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
    await removeScratch(dir);
  }
}
