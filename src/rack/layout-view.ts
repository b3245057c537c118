import { existsSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
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

/** Removes the notes of apps that are gone; they bear their apps' ids. */
export async function sweepNotes(dir: string, apps: readonly string[]): Promise<void> {
  for (const id of await readdir(dir).catch(() => []))
    if (!apps.includes(id)) await rm(join(dir, id), { recursive: true, force: true });
}
