import type { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { Bytes } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { EngineClient } from "./client.ts";
import { Grpc } from "./grpc.ts";
import { PATIENCE } from "./upgrade.ts";

/** Where these messages are described: moby/buildkit, api/services/control/control.proto and frontend/gateway/pb/gateway.proto */
const SOLVE = "/moby.buildkit.v1.Control/Solve";
const RESOLVE = "/moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig";
const BUILD_ID = "buildkit-controlapi-buildid";

/**
 * The exact bytes of an image's config, which no other endpoint of a classic
 * image store gives without the whole image: BuildKit's gateway resolves them
 * for a build that does nothing else. `ref` must be a tag in the engine.
 */
export async function imageConfig(client: EngineClient, ref: string): Promise<Bytes> {
  const { BinaryReader, BinaryWriter } = await import("@bufbuild/protobuf/wire");
  await using grpc = await Grpc.connect(client.host, await client.version());
  const id = crypto.randomUUID().replaceAll("-", "").slice(0, 25);
  const done = new AbortController();
  const solve = grpc.call(SOLVE, text(new BinaryWriter(), { 1: id, 5: id }), {}, done.signal);
  solve.catch(() => undefined);
  const request = text(new BinaryWriter(), { 1: ref, 3: "local", 4: `resolve ${ref}` });
  const timeout = Bun.sleep(PATIENCE).then(() => {
    throw new DavitError("engine", `Cannot read the config of ${ref}: the engine did not answer`);
  });
  try {
    return field2(
      new BinaryReader(
        await Promise.race([grpc.call(RESOLVE, request, { [BUILD_ID]: id }), timeout, failing(solve)]),
      ),
    );
  } finally {
    timeout.catch(() => undefined);
    done.abort();
  }
}

/** Never resolves, but fails as soon as the other call does. */
async function failing(call: Promise<unknown>): Promise<never> {
  await call;
  return await new Promise<never>(() => undefined);
}

function text(writer: BinaryWriter, fields: Record<number, string>): Uint8Array {
  for (const [number, value] of Object.entries(fields)) writer.tag(Number(number), 2).string(value);
  return writer.finish();
}

function field2(reader: BinaryReader): Bytes {
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 2) return new Uint8Array(reader.bytes());
    reader.skip(type);
  }
  throw new DavitError("engine", "The engine sent an image without a config");
}
