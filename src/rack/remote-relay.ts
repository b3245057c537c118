import { DavitError } from "../errors.ts";
import type { Build, ImageRelay } from "./rack.ts";
import type { RackClient } from "./rack-client.ts";
import { buildOf, releaseOf, WireBuild, WireRelease } from "./remote-wire.ts";

/** Between looks at the build, in milliseconds, and how long it may take. */
const POLL = 1000;
const LONGEST = 2 * 60 * 60 * 1000;

/** Has a rack make a build of an image that is in a registry, with the calls the original makes. */
export async function relayRemote(client: RackClient, app: string, relay: ImageRelay): Promise<Build> {
  const { signal } = relay;
  const path = `/apps/${app}/builds`;
  const form = { external: "true", url: "", description: relay.description };
  const { id } = await client.json(WireBuild, "POST", path, { form, signal });
  try {
    await client.done("PUT", `${path}/${id}`, { form: { manifest: relay.manifest }, signal });
    relay.onStep?.(`Relaying image ${relay.image}`);
    const { username, password } = relay.credentials ?? {};
    const source = { image: relay.image, "src-creds-user": username, "src-creds-pass": password };
    await client.done("POST", `${path}/${id}/image`, { form: source, signal });
    await waitFor(client, `${path}/${id}`, app, signal);
  } catch (error) {
    await client.done("PUT", `${path}/${id}`, { form: { status: "failed" } }).catch(() => undefined);
    throw error;
  }
  relay.onStep?.("Creating release");
  const wanted = { build: id, description: relay.description };
  const release = await client.json(WireRelease, "POST", `/apps/${app}/releases`, { form: wanted, signal });
  const done = { release: releaseOf(release, app).id };
  return buildOf(await client.json(WireBuild, "PUT", `${path}/${id}`, { form: done, signal }), app);
}

async function waitFor(
  client: RackClient,
  path: string,
  app: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const end = performance.now() + LONGEST; performance.now() < end; await Bun.sleep(POLL)) {
    const { id, status, reason } = buildOf(await client.json(WireBuild, "GET", path, { signal }), app);
    if (status === "complete") return;
    if (status === "failed")
      throw new DavitError("build-failed", `import failed: ${reason || `see build ${id}`}`);
  }
  throw new DavitError("rack", "Cannot import the image: the rack is not done after two hours");
}
