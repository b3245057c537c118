import { DavitError } from "../errors.ts";
import { discard } from "../http/request.ts";
import type { RegistryClient, RegistryRequest } from "./registry-client.ts";
import { endOf } from "./registry-upload.ts";

/** Not one byte: a Range of `0-0` also says that there is nothing. */
const TRIAL = new Uint8Array(16);
/** Bytes in one request where a request that breaks loses the whole upload. */
const SAFE = 16 * 1024 * 1024;
/** Statuses that say the upload is lost. */
const GONE = [400, 404, 416];

/**
 * Finds out, once for each registry, what a link that breaks would cost. All that
 * a client then has to ask with is an older Location. Most registries answer it
 * with what they have; distribution before version 3 drops the upload, and there
 * requests are kept short from the beginning. Whatever goes wrong here says nothing,
 * and is met again, and told, where it matters.
 */
export async function probeUploads(client: RegistryClient, repository: string, scope: string): Promise<void> {
  const send = (wanted: Pick<RegistryRequest, "method" | "path" | "headers" | "body">) =>
    client.send({ ...wanted, scope, what: "Cannot probe", retry: false });
  const post = `/${repository}/blobs/uploads/`;
  try {
    const begun = await send({ method: "POST", path: post, headers: { "content-length": "0" } });
    const older = await moved(client, begun, post);
    const headers = { "content-type": "application/octet-stream" };
    const grown = await send({ method: "PATCH", path: older, headers, body: TRIAL });
    const newer = await moved(client, grown, older);
    const status = await send({ method: "GET", path: older });
    await discard(status);
    if (status.ok && endOf(status) === TRIAL.byteLength) await client.profile.learn({ resumes: true });
    if (GONE.includes(status.status)) await client.profile.learn({ resumes: false, chunkSafe: SAFE });
    await discard(await send({ method: "DELETE", path: newer }));
  } catch (error) {
    if (client.options.signal?.aborted) throw error;
  }
}

async function moved(client: RegistryClient, response: Response, asked: string): Promise<string> {
  await discard(response);
  if (response.status !== 202)
    throw new DavitError("registry", `Cannot probe: ${client.host} answered ${response.status}`);
  return await client.location(response, asked, "Cannot probe");
}
