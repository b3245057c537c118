import { type ByteStream, type Bytes, encode } from "../bytes.ts";
import { parseDigest } from "../oci/digest.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import type { BuildRow } from "./rows.ts";

/** Between looks at a log that still grows, in milliseconds. */
const FOLLOW = 200;

/** A build's log: chunks while it runs, and from the finished log what came after them. */
export async function* followLog(parts: EmbeddedParts, app: string, id: string): AsyncGenerator<Bytes> {
  const { builds } = parts.ledger;
  let seq = 0;
  let sent = 0;
  for (;;) {
    const row = await builds.find(app, id);
    if (row.log_digest !== "") return yield* skip(await storedLog(parts, row), sent);
    const chunks = await builds.logs.chunks(id, seq);
    for (const chunk of chunks) {
      const bytes = encode(chunk.bytes);
      seq = chunk.seq;
      sent += bytes.byteLength;
      yield bytes;
    }
    if (chunks.length > 0) continue;
    if (row.status === "failed" || row.status === "complete") return;
    await Bun.sleep(FOLLOW);
  }
}

async function storedLog({ store }: EmbeddedParts, row: BuildRow): Promise<ByteStream> {
  const log = { mediaType: "text/plain", digest: parseDigest(row.log_digest), size: row.log_size };
  return await store(row.app).fetch(log);
}

async function* skip(stream: ByteStream, count: number): AsyncGenerator<Bytes> {
  let left = count;
  for await (const chunk of stream) {
    if (left >= chunk.byteLength) left -= chunk.byteLength;
    else {
      yield chunk.subarray(left);
      left = 0;
    }
  }
}
