import { expect, test } from "bun:test";
import { lstat, mkdir, readdir, readFile, readlink } from "node:fs/promises";
import { unpack } from "../../src/build/unpack.ts";
import { encode, streamOf } from "../../src/bytes.ts";
import { type NewEntry, writeTar } from "../../src/tar/write.ts";
import { tempDir } from "../support/temp.ts";

function file(name: string, text: string, mode = 0o644): NewEntry {
  return {
    name,
    type: "file",
    size: text.length,
    mode,
    mtime: 1_000_000,
    body: () => streamOf(encode(text)),
  };
}

async function unpacked(dir: ReturnType<typeof tempDir>, entries: NewEntry[]): Promise<string> {
  const root = dir.join("root");
  await mkdir(root);
  await unpack(writeTar(entries), root);
  return root;
}

test("files, directories and links that stay inside are unpacked as they were", async () => {
  using dir = tempDir();
  const root = await unpacked(dir, [
    { name: "bin/", type: "directory", mode: 0o755, mtime: 2_000_000 },
    file("bin/run", "#!/bin/sh\n", 0o755),
    file("./deep/er/a.txt", "a"),
    { name: "bin/link", type: "symlink", linkname: "../deep/er/a.txt" },
    { name: "hard", type: "link", linkname: "deep/er/a.txt" },
    { name: "deep/winding", type: "symlink", linkname: "../bin/../later/../deep/er/a.txt" },
    { name: "later/", type: "directory" },
  ]);
  expect(await readFile(`${root}/deep/winding`, "utf8")).toBe("a");
  expect((await lstat(`${root}/bin/run`)).mode & 0o777).toBe(0o755);
  expect((await lstat(`${root}/bin/run`)).mtimeMs).toBe(1_000_000_000);
  expect((await lstat(`${root}/bin`)).mtimeMs).toBe(2_000_000_000);
  expect(await readlink(`${root}/bin/link`)).toBe("../deep/er/a.txt");
  expect(await readFile(`${root}/bin/link`, "utf8")).toBe("a");
  expect(await readFile(`${root}/hard`, "utf8")).toBe("a");
});

test("a later entry of the same name takes the place of the earlier one, link or not", async () => {
  using dir = tempDir();
  const root = await unpacked(dir, [
    file("kept", "kept"),
    { name: "a", type: "symlink", linkname: "kept" },
    file("a", "new"),
  ]);
  expect(await readFile(`${root}/kept`, "utf8")).toBe("kept");
  expect(await readFile(`${root}/a`, "utf8")).toBe("new");
});

const hostile: Record<string, NewEntry[]> = {
  "a name that climbs out": [file("../evil", "x")],
  "a name that climbs out in its middle": [file("a/../../evil", "x")],
  "an absolute name": [file("/evil", "x")],
  "a link that climbs out": [{ name: "l", type: "symlink", linkname: "../evil" }],
  "an absolute link": [{ name: "l", type: "symlink", linkname: "/etc/passwd" }],
  "a link that climbs out through a link to the root": [
    { name: "q", type: "symlink", linkname: "." },
    { name: "r", type: "symlink", linkname: "q/../evil" },
  ],
  "a link that climbs out through a directory which a link has taken the place of": [
    { name: "d/e/", type: "directory" },
    { name: "d/e/l", type: "symlink", linkname: "../q/../../evil" },
    { name: "d/q/", type: "directory" },
    { name: "d/q", type: "symlink", linkname: ".." },
  ],
  "a link that climbs out below a link": [
    { name: "d/e/f/", type: "directory" },
    { name: "l", type: "symlink", linkname: "d/e" },
    { name: "r", type: "symlink", linkname: "l/f/../../../evil" },
  ],
  "a file below a link": [
    { name: "d/", type: "directory" },
    { name: "l", type: "symlink", linkname: "d" },
    file("l/x", "x"),
  ],
  "a hard link to what is not in the archive": [{ name: "h", type: "link", linkname: "../evil" }],
  "a hard link through a link": [
    { name: "d/", type: "directory" },
    file("d/x", "x"),
    { name: "l", type: "symlink", linkname: "d" },
    { name: "h", type: "link", linkname: "l/x" },
  ],
  "a fifo": [{ name: "f", type: "fifo" }],
};

for (const [what, entries] of Object.entries(hostile))
  test(`${what} is refused, and nothing is written outside`, async () => {
    using dir = tempDir();
    const refused = await unpacked(dir, entries).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "bad-archive" });
    expect(await readdir(dir.path)).toEqual(["root"]);
  });
