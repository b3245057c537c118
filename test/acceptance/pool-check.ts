import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** Names of blobs whose bytes are not what they are named for. */
export async function corruptBlobs(rackDir: string): Promise<string[]> {
  const dir = join(rackDir, "layout/blobs/sha256");
  const bad: string[] = [];
  for (const name of await readdir(dir).catch(() => [])) {
    const hasher = new Bun.CryptoHasher("sha256");
    for await (const chunk of Bun.file(join(dir, name)).stream()) hasher.update(chunk);
    if (hasher.digest("hex") !== name) bad.push(name);
  }
  return bad;
}

/** Files of blobs half-written. */
export async function leftovers(rackDir: string): Promise<number> {
  return (await readdir(join(rackDir, "layout/ingest")).catch(() => [])).length;
}
