import { encode } from "../bytes.ts";
import { hasCode, reasonOf } from "../errors.ts";
import { discard } from "../http/request.ts";
import { describe } from "./descriptor.ts";
import { makeManifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import { parseReference } from "./reference.ts";
import { RegistryClient, type RegistryOptions } from "./registry-client.ts";
import type { Profile } from "./registry-profile.ts";
import { RegistryStore } from "./registry-store.ts";
import { contentOf } from "./store.ts";

/** One thing that was found out about a registry. */
export interface Finding {
  what: string;
  found: string;
  ok: boolean;
}

/**
 * Asks a registry what it can do. With a repository it also sends a few hundred
 * bytes there, to see how it takes them, and says what stays behind.
 */
export async function checkRegistry(
  host: string,
  repository: string | undefined,
  options: RegistryOptions,
): Promise<{ findings: Finding[]; profile: Profile }> {
  const client = await RegistryClient.open(host, options);
  const findings: Finding[] = [await ping(client)];
  if (repository !== undefined && findings[0]?.ok)
    findings.push(...(await tryOut(client, repository, options)));
  findings.push(...learned(client.profile.seen));
  return { findings, profile: client.profile.seen };
}

async function ping(client: RegistryClient): Promise<Finding> {
  const what = "answers";
  try {
    const response = await client.send({
      method: "GET",
      path: "/",
      scope: "",
      what: `Cannot reach ${client.host}`,
    });
    await discard(response);
    if (response.status === 200) return { what, found: `yes, at ${client.origin}`, ok: true };
    const needsLogin = response.status === 401;
    const found = needsLogin ? "it wants a login" : `GET /v2/ answers ${response.status} in place of 200`;
    return { what, found, ok: needsLogin };
  } catch (error) {
    return { what, found: reasonOf(error), ok: false };
  }
}

type Probe = [what: string, run: () => Promise<string>];

async function tryOut(
  client: RegistryClient,
  repository: string,
  options: RegistryOptions,
): Promise<Finding[]> {
  const reference = parseReference(`${client.host}/${repository}:davit-check`);
  const store = new RegistryStore(reference, { ...options, push: true }, Promise.resolve(client));
  const blob = encode(`davit checks this registry ${crypto.randomUUID()}`);
  const config = describe(
    mediaTypes.ociConfig,
    encode('{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}'),
  );
  const layer = describe(mediaTypes.ociLayerGzip, blob);
  const image = makeManifest(mediaTypes.ociManifest, { config, layers: [layer] });
  const { mediaType, digest, size } = image.descriptor;
  const note = makeManifest(mediaTypes.ociManifest, {
    artifactType: "application/vnd.dev.davit.check",
    config,
    layers: [],
    subject: { mediaType, digest, size },
  });
  const probes: Probe[] = [
    ["takes a blob in chunks", () => chunked(store, blob)],
    [
      "takes a manifest",
      async () => {
        await store.push(
          config,
          contentOf(
            encode('{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}'),
          ),
        );
        await store.push(image.descriptor, contentOf(image.bytes));
        return `yes: ${digest}`;
      },
    ],
    [
      "answers HEAD",
      async () =>
        (await store.exists(layer)) === "yes"
          ? "yes"
          : "not as it should: blobs are sent without asking first",
    ],
    ["ranges", () => ranged(store, layer)],
    [
      "referrers",
      async () => {
        await store.push(note.descriptor, contentOf(note.bytes));
        const found = await store.referrers(digest);
        if (found.length === 0) return "no: what was attached is not found again";
        return client.profile.seen.referrers === "api"
          ? "yes, by its own list"
          : "by a tag that clients keep";
      },
    ],
    ["lists tags", async () => `yes, ${(await Array.fromAsync(store.tags())).length}`],
    ["deletes", () => removal(store, digest)],
  ];
  const findings: Finding[] = [];
  for (const [what, run] of probes) findings.push(await finding(what, run));
  return findings;
}

async function finding(what: string, run: () => Promise<string>): Promise<Finding> {
  try {
    const found = await run();
    return { what, found, ok: !/^no\b|^not\b/.test(found) };
  } catch (error) {
    if (hasCode(error, "interrupted")) throw error;
    return { what, found: `no: ${reasonOf(error)}`, ok: false };
  }
}

async function chunked(store: RegistryStore, blob: Uint8Array<ArrayBuffer>): Promise<string> {
  const writer = await store.writer();
  await writer.write(blob);
  await writer.commit("application/octet-stream");
  return "yes";
}

async function ranged(
  store: RegistryStore,
  layer: { mediaType: string; digest: `sha256:${string}` | `sha512:${string}`; size: number },
): Promise<string> {
  const headers = { range: "bytes=5-" };
  const response = await store.repository.send({
    method: "GET",
    path: `/blobs/${layer.digest}`,
    headers,
    what: "Cannot read a range",
  });
  await discard(response);
  return response.status === 206
    ? "yes"
    : `no: it answers ${response.status}, and a broken download begins anew`;
}

async function removal(store: RegistryStore, digest: string): Promise<string> {
  const response = await store.repository.send({
    method: "DELETE",
    path: `/manifests/${digest}`,
    what: "Cannot delete",
  });
  await discard(response);
  return response.status === 202 ? "yes" : `no: it answers ${response.status}; ${digest} stays behind`;
}

/** What pushes and pulls have met so far. */
function learned(profile: Profile): Finding[] {
  const lines: [string, string | undefined][] = [
    [
      "largest body",
      profile.chunkMax === undefined ? undefined : `${profile.chunkMax} bytes: larger ones were refused`,
    ],
    [
      "broken uploads",
      profile.chunkSafe === undefined
        ? undefined
        : `lost: large blobs go in requests of ${profile.chunkSafe} bytes`,
    ],
    ["smallest chunk", profile.chunkMin === undefined ? undefined : `${profile.chunkMin} bytes`],
    [
      "chunks",
      profile.upload === "stream"
        ? "refused: from a pipe a blob goes in one body, and cannot be tried again"
        : undefined,
    ],
    [
      "PATCH",
      profile.upload === "put" ? "refused: blobs go in one PUT, and a broken upload begins anew" : undefined,
    ],
    ["resumes uploads", profile.resumes ? "yes" : undefined],
    [
      "mounts blobs",
      profile.mount === undefined
        ? undefined
        : profile.mount === "mounted"
          ? "yes"
          : "only from a repository that is named",
    ],
    ["HEAD", profile.head === false ? "refused" : undefined],
    [
      "its own address",
      profile.location === "rewritten"
        ? "wrong in Location headers: check X-Forwarded-Proto and -Host at its proxy"
        : undefined,
    ],
  ];
  return lines.flatMap(([what, found]) =>
    found === undefined ? [] : [{ what, found, ok: !/wrong|refused:/.test(found) }],
  );
}
