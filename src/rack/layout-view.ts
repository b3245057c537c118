import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { LAYOUT_FILE, REF_NAME } from "../oci/layout-store.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { replaceFile } from "../write-file.ts";
import type { Ledger } from "./ledger.ts";

/** A view of the rack for tools that read layouts; the ledger is the truth. */
export async function publish(dir: string, ledger: Ledger): Promise<void> {
  const manifests = (await ledger.content.indexView()).map(({ name, digest, size }) => ({
    mediaType: mediaTypes.ociIndex,
    digest,
    size,
    annotations: { [REF_NAME]: name },
  }));
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (!existsSync(join(dir, "oci-layout"))) await replaceFile(join(dir, "oci-layout"), LAYOUT_FILE);
  await replaceFile(
    join(dir, "index.json"),
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }),
  );
}
