import { type Bytes, decode } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import { Retries } from "../http/retry.ts";
import type { Build, BuildEvents, BuildOptions } from "./rack.ts";
import type { RackClient } from "./rack-client.ts";
import { type Sender, sendArchive, sendSource } from "./remote-source.ts";
import { buildOf, WireBuild } from "./remote-wire.ts";

/** Between looks at a build, in milliseconds. */
const POLL = 1000;
/** Builds a directory on a rack: its source goes up, its log comes back, and its row says how it ended. */
export async function runRemoteBuild(sender: Sender, options: BuildOptions): Promise<Build> {
  const { client, app, events, signal, isDavit } = sender;
  if (options.ssh?.size)
    throw new DavitError("usage", "Cannot lend an ssh agent to a rack elsewhere", {
      hint: "build here, with --external",
    });
  if (options.secrets?.size && !isDavit)
    throw new DavitError("unsupported", "Cannot send secrets: this rack takes none", {
      hint: "build here, with --external",
    });
  const created = await create(sender, options);
  events.started?.(created);
  try {
    return await follow(client, app, created.id, events, signal);
  } catch (error) {
    if (!hasCode(error, "interrupted")) throw error;
    throw new DavitError(
      "interrupted",
      `Interrupted: build ${created.id} goes on in rack ${client.address.name}`,
      {
        cause: error,
        hint: `see \`davit builds logs ${created.id} -a ${app}\``,
      },
    );
  }
}

/** Where several servers are one rack, the one that is asked to build may not be the one that has the source. */
async function create(sender: Sender, options: BuildOptions): Promise<Build> {
  const { client, app, signal } = sender;
  const url = options.url ?? (await sendSource(sender, options));
  const start = async (from: string): Promise<Build> => {
    const form = { url: from, ...buildForm(options), ...secretsField(options) };
    return buildOf(await client.json(WireBuild, "POST", `/apps/${app}/builds`, { form, signal }), app);
  };
  return await start(url).catch(async (error: unknown) => {
    if (options.url !== undefined || !hasCode(error, "outdated")) throw error;
    return await start(await sendArchive(sender, options));
  });
}

/** What a rack is told of a build, as the original tells it: what is not set is not sent. */
export function buildForm(options: Omit<BuildOptions, "dir">): Record<string, string | undefined> {
  const flag = (on: boolean): string | undefined => (on ? "true" : undefined);
  return {
    "build-args": options.buildArgs.length > 0 ? options.buildArgs.join(",") : undefined,
    description: options.description,
    development: flag(options.development),
    "git-sha": options.gitSha,
    manifest: options.manifest === "convox.yml" ? undefined : options.manifest,
    platform: options.platforms?.join(","),
    provenance: options.attestations?.get("provenance"),
    sbom: options.attestations?.get("sbom"),
    "no-cache": flag(options.noCache),
    "wildcard-domain": flag(options.wildcardDomain),
  };
}

/** Secrets travel in the form, to a davit only; it keeps them in memory until the build has ended. */
function secretsField({ secrets }: BuildOptions): { secrets?: string } {
  if (!secrets?.size) return {};
  const fields = [...secrets].map(([id, value]) => [id, Buffer.from(value).toString("base64")]);
  return { secrets: JSON.stringify(Object.fromEntries(fields)) };
}

/** Shows the log as it grows, and says how the build ended. */
async function follow(
  client: RackClient,
  app: string,
  id: string,
  events: BuildEvents,
  signal: AbortSignal,
): Promise<Build> {
  for await (const chunk of remoteLog(client, app, id, signal)) events.log?.(decode(chunk));
  return finished(await lookAt(client, app, id, signal));
}

async function lookAt(
  client: RackClient,
  app: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<Build> {
  return buildOf(await client.json(WireBuild, "GET", `/apps/${app}/builds/${id}`, { signal }), app);
}

/** A build's log until its end. A socket that breaks is opened again, for it looks like one that ended; nothing comes twice. */
export async function* remoteLog(
  client: RackClient,
  app: string,
  id: string,
  signal?: AbortSignal,
): AsyncGenerator<Bytes> {
  const retries = new Retries(signal);
  let sent = 0;
  for (let last = false; ; ) {
    try {
      for await (const chunk of beyond(client.socket(`/apps/${app}/builds/${id}/logs`, signal), sent)) {
        sent += chunk.byteLength;
        retries.progress();
        yield chunk;
      }
    } catch (error) {
      await retries.after(error);
    }
    if (last) return;
    const { status } = await lookAt(client, app, id, signal);
    // The end of the log may have come after the socket's: it is read once more.
    last = status === "complete" || status === "failed";
    if (!last) await Bun.sleep(POLL);
  }
}

async function* beyond(stream: AsyncIterable<Bytes>, count: number): AsyncGenerator<Bytes> {
  let known = count;
  for await (const chunk of stream) {
    const fresh = chunk.subarray(Math.min(known, chunk.byteLength));
    known -= chunk.byteLength - fresh.byteLength;
    if (fresh.byteLength > 0) yield fresh;
  }
}

function finished(build: Build): Build {
  if (build.status === "complete") return build;
  throw new DavitError("build-failed", `build failed: ${build.reason || "its log says why"}`, {
    hint: `the whole log: \`davit builds logs ${build.id} -a ${build.app}\``,
  });
}
