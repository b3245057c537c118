import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import { discard } from "../http/request.ts";
import { bodyOf } from "../response-body.ts";
import type { Descriptor } from "./descriptor.ts";
import { isManifestType } from "./media-types.ts";
import { MANIFEST_TYPES, type RegistryRepository } from "./registry-repository.ts";
import { verified } from "./verify.ts";

/** Content of a repository; a whole one is verified over everything that was joined. */
export async function pull(
  repository: RegistryRepository,
  descriptor: Descriptor,
  from: number,
): Promise<ByteStream> {
  const stream = await pullUnverified(repository, descriptor, from);
  return from === 0 ? verified(stream, descriptor) : stream;
}

export async function pullUnverified(
  repository: RegistryRepository,
  descriptor: Descriptor,
  from = 0,
): Promise<ByteStream> {
  const body = resumed(repository, descriptor, from, await open(repository, descriptor, from));
  const { rate } = repository.options;
  return rate ? rate.limit(body) : body;
}

/** Goes on at the byte where a link broke. */
async function* resumed(
  repository: RegistryRepository,
  descriptor: Descriptor,
  from: number,
  first: Response,
): AsyncGenerator<Bytes> {
  const retries = (await repository.client()).retries();
  let at = from;
  let response: Response | undefined = first;
  for (;;) {
    try {
      response ??= await open(repository, descriptor, at);
      for await (const chunk of rest(response, descriptor, at, repository.options.signal)) {
        at += chunk.byteLength; // Before it is handed on: it is gone when the next is asked for.
        retries.progress();
        yield chunk;
      }
      if (at < descriptor.size) throw ended(descriptor, at);
      return;
    } catch (error) {
      if (at >= descriptor.size && hasCode(error, "unavailable")) return;
      response = undefined;
      await retries.after(error);
    }
  }
}

/** A server that ignores the range sends all of it: what is here already is passed over. */
async function* rest(
  response: Response,
  descriptor: Descriptor,
  at: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Bytes> {
  let known = response.status === 200 ? at : 0;
  for await (const chunk of bodyOf(response, descriptor.digest, signal)) {
    const fresh = chunk.subarray(Math.min(known, chunk.byteLength));
    known -= chunk.byteLength - fresh.byteLength;
    if (fresh.byteLength > 0) yield fresh;
  }
}

/** A length that is not the descriptor's is refused before a byte is read. */
async function open(repository: RegistryRepository, descriptor: Descriptor, from: number): Promise<Response> {
  const what = `Cannot pull ${descriptor.digest} from ${repository.name}`;
  const headers = { accept: MANIFEST_TYPES, ...(from > 0 ? { range: `bytes=${from}-` } : {}) };
  const path = pathOf(descriptor);
  const response = await repository.expect({ method: "GET", path, headers, what }, 200, 206);
  const length = response.headers.get("content-length");
  const promised = descriptor.size - (response.status === 206 ? from : 0);
  const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
  const wrongStart = response.status === 206 && start !== undefined && Number(start) !== from;
  if ((length === null || Number(length) === promised) && !wrongStart) return response;
  await discard(response);
  throw new DavitError(
    "mismatch",
    `${what}: the registry offers ${length} bytes from ${start ?? 0}, and ${promised} from ${from} are promised`,
  );
}

/** Where content lies below its repository. */
export function pathOf({ mediaType, digest }: Descriptor): string {
  return `/${isManifestType(mediaType) ? "manifests" : "blobs"}/${digest}`;
}

function ended(descriptor: Descriptor, at: number): DavitError {
  return new DavitError(
    "unavailable",
    `Cannot read ${descriptor.digest}: it ended after ${at} of ${descriptor.size} bytes`,
  );
}
