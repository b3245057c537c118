import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { random } from "../test/acceptance/verdict.ts";

/* A realistic image's files: half-compressible ones, random ones, and many small ones. The same every time. */

const MB = 1_000_000;
const FILE = 10 * MB;

/** `scale` 1 is 400 MB half-compressible, 200 MB random and 4,000 small files (120 MB). */
export async function writeImageContext(dir: string, scale = 1): Promise<void> {
  const next = random(7);
  const words = Array.from({ length: 4000 }, () => word(next, 3 + Math.floor(next() * 8)));
  for (const folder of ["half", "random", "small"]) await mkdir(join(dir, folder), { recursive: true });
  for (let i = 0; i < 40 * scale; i++)
    await writeFile(join(dir, "half", String(i)), prose(next, words, FILE));
  for (let i = 0; i < 20 * scale; i++) await writeFile(join(dir, "random", String(i)), noise(next, FILE));
  for (let i = 0; i < 4000; i++) await writeFile(join(dir, "small", String(i)), prose(next, words, 30_000));
  await writeFile(
    join(dir, "Dockerfile"),
    "FROM scratch\nCOPY half /half\nCOPY random /random\nCOPY small /small\n",
  );
}

function word(next: () => number, length: number): string {
  return Array.from({ length }, () => Math.floor(next() * 36).toString(36)).join("");
}

/** Words of a vocabulary with unique tokens between them: gzip makes about half of it. */
function prose(next: () => number, words: string[], length: number): string {
  const parts: string[] = [];
  for (let size = 0; size < length; ) {
    const known = words[Math.floor(next() * words.length)] ?? "";
    const token = next() < 0.3 ? word(next, 7) : "";
    parts.push(known, token);
    size += known.length + token.length + 2;
  }
  return parts.join(" ").slice(0, length);
}

function noise(next: () => number, length: number): Uint8Array {
  const values = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < values.length; i++) values[i] = next() * 2 ** 32;
  return new Uint8Array(values.buffer, 0, length);
}
