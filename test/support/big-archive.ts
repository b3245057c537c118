import { writeArchiveFile } from "../../src/bundle/archive-file.ts";
import { planRoot } from "../../src/bundle/roots.ts";
import { bigImage } from "./big-image.ts";

/** An image with layers of these sizes as an archive, its name `v1`; returns the image's bytes. */
export async function bigArchive(path: string, sizes: number[], seed = 1): Promise<number> {
  const image = await bigImage(sizes, seed);
  const root = await image.resolve("image");
  await writeArchiveFile(
    path,
    await planRoot(image, root, { tag: "v1", image: "bench/app", referrers: false }),
  );
  return [...image.blobs.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0);
}
