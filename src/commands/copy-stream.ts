import type { Place } from "../bundle/place.ts";
import { abortable, type ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Context } from "./command.ts";
import { openSource } from "./source.ts";

/** An image as a stream: out of the engine, or a file's bytes. */
export async function openStream(source: Place, context: Context): Promise<ByteStream> {
  if (source.kind === "docker") {
    const [{ EngineImages }, { EngineClient }] = await Promise.all([
      import("../docker-api/images.ts"),
      import("../docker-api/client.ts"),
    ]);
    const images = new EngineImages(await EngineClient.fromEnv(context.env));
    if (!(await images.find(source.image)))
      throw new DavitError("not-found", `Cannot copy ${source.image}: the engine has no such image`);
    return await images.save([source.image], context.signal);
  }
  if (source.kind !== "archive") throw new DavitError("unsupported", "Cannot read that as a stream");
  const { stream } = await openSource(source.path, "copy");
  return abortable(stream, context.signal);
}

/** An archive that no store has to hold: the engine reads it as it comes. */
export async function loadStream(stream: ByteStream, source: Place, context: Context): Promise<undefined> {
  if (source.kind === "docker")
    throw new DavitError("usage", "Cannot copy from the engine to the engine", { hint: "use docker tag" });
  const [{ EngineImages }, { EngineClient }, { decompressed }] = await Promise.all([
    import("../docker-api/images.ts"),
    import("../docker-api/client.ts"),
    import("../compression.ts"),
  ]);
  await new EngineImages(await EngineClient.fromEnv(context.env)).load(decompressed(stream));
  return undefined;
}
