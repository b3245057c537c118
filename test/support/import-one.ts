import type { ByteStream } from "../../src/bytes.ts";
import type { Build, ImportOptions, Rack } from "../../src/rack/rack.ts";

/** Imports an archive of one build into app shop. */
export async function importOne(rack: Rack, archive: ByteStream, options: ImportOptions): Promise<Build> {
  const [build, another] = await rack.importBuilds("shop", archive, options);
  if (!build || another) throw new Error("that was not one build");
  return build;
}
