import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Files in one directory. */
const BREADTH = 100;

/** A project of so many files of random bytes, a hundred in each directory. */
export async function writeProject(
  root: string,
  files: number,
  bytes: number,
  dockerfile: string,
): Promise<void> {
  const size = Math.floor(bytes / files);
  const noise = new Uint8Array(Math.max(1, size));
  for (let i = 0; i < files; i++) {
    const dir = join(root, String(Math.floor(i / BREADTH)));
    if (i % BREADTH === 0) await mkdir(dir, { recursive: true });
    for (let at = 0; at < noise.byteLength; at += 65_536)
      crypto.getRandomValues(noise.subarray(at, at + 65_536));
    await writeFile(join(dir, String(i % BREADTH)), noise);
  }
  await writeFile(join(root, "Dockerfile"), dockerfile);
  await writeFile(join(root, "convox.yml"), "services:\n  web:\n    build: .\n");
}
