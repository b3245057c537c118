import { expect, test } from "bun:test";
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { readZip } from "../../src/build/read-zip.ts";
import { unpackEntries } from "../../src/build/unpack.ts";
import { hasCode } from "../../src/errors.ts";
import { tempDir } from "../support/temp.ts";

type Dir = ReturnType<typeof tempDir>;

async function zipped(dir: Dir): Promise<Buffer> {
  const root = dir.join("source");
  await mkdir(`${root}/aa/deep`, { recursive: true });
  await writeFile(`${root}/aa/xx.txt`, "stored".repeat(1000));
  await writeFile(`${root}/aa/deep/run.sh`, "#!/bin/sh\n");
  await chmod(`${root}/aa/deep/run.sh`, 0o755);
  await writeFile(`${root}/large`, Buffer.alloc(3_000_000, "large file "));
  await symlink("aa/xx.txt", `${root}/link`);
  const made = Bun.spawn(["zip", "-q", "-y", "-r", dir.join("made.zip"), "."], { cwd: root });
  expect(await made.exited).toBe(0);
  return await readFile(dir.join("made.zip"));
}

async function unzip(dir: Dir, bytes: Uint8Array): Promise<string> {
  const [path, root] = [dir.join(`${crypto.randomUUID()}.zip`), dir.join(`out-${crypto.randomUUID()}`)];
  await writeFile(path, bytes);
  await mkdir(root);
  await unpackEntries(readZip(path), root);
  return root;
}

test("a zip's files, modes and links come out as they went in", async () => {
  using dir = tempDir();
  const root = await unzip(dir, await zipped(dir));
  expect(await readFile(`${root}/aa/xx.txt`, "utf8")).toBe("stored".repeat(1000));
  expect((await readFile(`${root}/large`)).equals(Buffer.alloc(3_000_000, "large file "))).toBe(true);
  expect((await lstat(`${root}/aa/deep/run.sh`)).mode & 0o777).toBe(0o755);
  expect(await readlink(`${root}/link`)).toBe("aa/xx.txt");
});

test("a zip whose entries or links lead out of it writes nothing outside", async () => {
  using dir = tempDir();
  const whole = await zipped(dir);
  for (const [from, to] of [
    ["aa/deep/run.sh", "../../../esc.s"],
    ["aa/xx.txt", "/etc/evil"],
  ] as const) {
    const changed = Buffer.from(whole.toString("latin1").replaceAll(from, to), "latin1");
    const error = await unzip(dir, changed).catch((cause: unknown) => cause);
    expect([to, hasCode(error, "bad-archive")]).toEqual([to, true]);
  }
  expect((await readdir(dir.path)).filter((name) => /^(esc|evil)/.test(name))).toEqual([]);
});

test("a damaged zip is an error about an archive, and never anything else", async () => {
  using dir = tempDir();
  const whole = await zipped(dir);
  const flip = fc.tuple(fc.nat(whole.byteLength - 1), fc.integer({ min: 1, max: 255 }));
  await fc.assert(
    fc.asyncProperty(
      fc.array(flip, { minLength: 1, maxLength: 4 }),
      fc.nat(whole.byteLength),
      async (flips, cut) => {
        const bytes = Buffer.from(whole);
        for (const [at, bits] of flips) bytes[at] = (bytes[at] ?? 0) ^ bits;
        const error = await unzip(dir, cut % 3 === 0 ? bytes.subarray(0, cut) : bytes).catch(
          (cause: unknown) => cause,
        );
        // A flip in a time, a name or a mode is no damage that anybody could see.
        if (typeof error !== "string") expect(hasCode(error, "bad-archive", "io", "invalid")).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);
