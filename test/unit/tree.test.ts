import { expect, test } from "bun:test";
import {
  chmod,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { openContext } from "../../src/build/context.ts";
import { type Bytes, collect, encode, streamOf } from "../../src/bytes.ts";
import { SourceMirrors } from "../../src/rack/source-mirrors.ts";
import { Root } from "../../src/root.ts";
import { writeTar } from "../../src/tar/write.ts";
import { Bits } from "../../src/tree/bits.ts";
import { spokenOf, writeDelta } from "../../src/tree/delta.ts";
import { readDocument, writeDocument } from "../../src/tree/document.ts";
import { formatEntry, hashOf, type TreeEntry } from "../../src/tree/listing.ts";
import { Mirror } from "../../src/tree/mirror.ts";
import { scanTree } from "../../src/tree/scan.ts";
import { tempDir } from "../support/temp.ts";

/* A directory, and its mirror elsewhere. */

const SIGNAL = new AbortController().signal;

/** Everything below a directory, so that two can be compared. */
async function described(root: string, path = ""): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await readdir(join(root, path))).sort()) {
    const inside = join(path, name);
    const full = join(root, inside);
    const info = await lstat(full);
    const time = Math.floor(info.mtimeMs / 1000);
    if (info.isSymbolicLink()) found.push(`${inside} -> ${await readlink(full)}`);
    else if (info.isFile())
      found.push(
        `${inside} ${(info.mode & 0o777).toString(8)} ${time} ${info.nlink} ${await readFile(full, "utf8")}`,
      );
    else
      found.push(`${inside}/ ${(info.mode & 0o777).toString(8)} ${time}`, ...(await described(root, inside)));
  }
  return found;
}

/** One round: scans, asks, sends. Returns how many bytes of content went over. */
async function follow(root: string, state: string, mirror: Mirror): Promise<number> {
  const context = await openContext(await Root.open(root), "convox.yml");
  using tree = await scanTree(context, state, () => undefined);
  const named = [...spokenOf(tree, new Set(), "named")];
  const { listings } = await mirror.lacking(named);
  const { files } = await mirror.lacking([...spokenOf(tree, listings, "left out")]);
  let sent = 0;
  const delta = writeDelta(context.root, tree, { listings, files }, (bytes) => {
    sent += bytes;
  });
  await mirror.update(tree.at("")?.hash ?? "", delta, SIGNAL);
  return sent;
}

const NAME = fc.constantFrom("a", "b", "c d", "\u00e9\n", "z.txt");
const PATH = fc.array(NAME, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const STEP = fc.oneof(
  fc.record({
    do: fc.constant("write" as const),
    path: PATH,
    text: fc.constantFrom("", "one", "two", "three"),
  }),
  fc.record({ do: fc.constant("remove" as const), path: PATH }),
  fc.record({ do: fc.constant("directory" as const), path: PATH }),
  fc.record({ do: fc.constant("move" as const), path: PATH, to: PATH }),
  fc.record({ do: fc.constant("link" as const), path: PATH, to: PATH }),
  fc.record({ do: fc.constant("symlink" as const), path: PATH }),
  fc.record({
    do: fc.constant("mode" as const),
    path: PATH,
    mode: fc.constantFrom(0o755, 0o644, 0o600, 0o700),
  }),
);
type Step = typeof STEP extends fc.Arbitrary<infer T> ? T : never;

let clock = 1_600_000_000;

/** Steps that cannot be taken are left out: what matters is where they lead. */
async function take(root: string, step: Step): Promise<void> {
  const path = join(root, step.path);
  try {
    if (step.do === "remove") await rm(path, { recursive: true });
    else if (step.do === "move") await rename(path, join(root, step.to));
    else if (step.do === "mode")
      await chmod(path, step.mode | ((await stat(path)).isDirectory() ? 0o700 : 0));
    else {
      await mkdir(join(path, ".."), { recursive: true });
      if (step.do === "directory") await mkdir(path);
      if (step.do === "symlink") await symlink("a", path);
      if (step.do === "link") await link(path, join(root, step.to));
      if (step.do !== "write") return;
      await writeFile(path, step.text);
      await utimes(path, clock, clock++);
    }
  } catch {
    // As a user's shell would say.
  }
}

test("a mirror becomes whatever the directory has become, step after step", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(STEP, { maxLength: 8 }), { minLength: 1, maxLength: 4 }),
      async (rounds) => {
        using dir = tempDir();
        const root = dir.join("source");
        await mkdir(root);
        await writeFile(join(root, "convox.yml"), "services: {}\n");
        await mkdir(dir.join("mirror"));
        const mirror = new Mirror(dir.join("mirror"), dir.join("loose"));
        for (const steps of rounds) {
          for (const step of steps) await take(root, step);
          await follow(root, dir.join("state"), mirror);
          expect(await described(mirror.tree)).toEqual(await described(root));
        }
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);

async function pair() {
  const dir = tempDir();
  const root = dir.join("source");
  await mkdir(join(root, "deep/er"), { recursive: true });
  await mkdir(dir.join("mirror"));
  await writeFile(join(root, "convox.yml"), "services: {}\n");
  await writeFile(join(root, "deep/er/one"), "1".repeat(1000));
  await writeFile(join(root, "two"), "2".repeat(1000));
  const mirror = new Mirror(dir.join("mirror"), dir.join("loose"));
  const round = () => follow(root, dir.join("state"), mirror);
  return {
    ...dir,
    root,
    mirror,
    round,
    same: async () => expect(await described(mirror.tree)).toEqual(await described(root)),
  };
}

test("only content that is nowhere in the mirror is sent: not what was moved, copied or touched", async () => {
  const { root, round, same, ...dir } = await pair();
  expect(await round()).toBe(2013);
  expect(await round()).toBe(0);
  await rename(join(root, "deep"), join(root, "moved"));
  await writeFile(join(root, "copy"), "2".repeat(1000));
  await utimes(join(root, "two"), 5, 5);
  expect(await round()).toBe(0);
  await same();
  await writeFile(join(root, "moved/er/one"), "3".repeat(10));
  expect(await round()).toBe(10);
  await same();
  dir[Symbol.dispose]();
});

test("a file that was changed without a trace in size and time is found while that time is fresh", async () => {
  const { root, round, same, ...dir } = await pair();
  await round();
  await writeFile(join(root, "two"), "3".repeat(1000));
  expect(await round()).toBe(1000);
  await same();
  dir[Symbol.dispose]();
});

test("what a broken transfer brought is not sent again, and leaves the mirror as it was", async () => {
  const { root, mirror, round, same, path, ...dir } = await pair();
  await round();
  const before = await described(mirror.tree);
  for (const name of ["x", "y"]) await writeFile(join(root, name), name.repeat(300_000));
  await expect(follow(root, join(path, "state"), cutAfter(mirror, 400_000))).rejects.toThrow();
  expect(await described(mirror.tree)).toEqual(before);
  expect(await round()).toBe(300_000);
  await same();
  dir[Symbol.dispose]();
});

/** The same mirror at the end of a link that breaks. */
function cutAfter(mirror: Mirror, limit: number): Mirror {
  const cut = Object.create(mirror, {
    lacking: { value: mirror.lacking.bind(mirror) },
    update: {
      value: (root: string, delta: AsyncIterable<Bytes>) => mirror.update(root, broken(delta, limit), SIGNAL),
    },
  });
  return cut;
}

async function* broken(stream: AsyncIterable<Bytes>, limit: number): AsyncGenerator<Bytes> {
  let left = limit;
  for await (const chunk of stream) {
    left -= chunk.byteLength;
    if (left < 0) throw new Error("the link broke");
    yield chunk;
  }
}

function entry(more: Partial<TreeEntry>): TreeEntry {
  return {
    type: "file",
    name: "f",
    mode: 0o644,
    mtimeNs: 0n,
    size: 1,
    hash: hashOf("x"),
    target: "",
    ...more,
  };
}

/** A delta as somebody hostile may write it. */
async function hostile(entries: TreeEntry[], more: Record<string, string> = { [hashOf("x")]: "x" }) {
  using dir = tempDir();
  await mkdir(dir.join("mirror"));
  const listing = entries.map(formatEntry).join("");
  const document = await collect(
    streamOf(
      ...writeDocument([
        { hash: hashOf(listing), listing },
        { hash: hashOf(""), listing: "" },
      ]),
    ),
    1e6,
    "it",
  );
  const members = Object.entries({ listings: document, ...more }).map(([name, content]) => {
    const bytes = typeof content === "string" ? encode(content) : content;
    return { name, type: "file" as const, size: bytes.byteLength, body: () => streamOf(bytes) };
  });
  await new Mirror(dir.join("mirror"), dir.join("loose")).update(hashOf(listing), writeTar(members), SIGNAL);
}

test("a well-made delta of one file is taken", async () => {
  await hostile([entry({})]);
});

const bad: Record<string, [TreeEntry[], string, Record<string, string>?]> = {
  "a name with a slash": [[entry({ name: "a/b" })], "wrong shape"],
  "a name that climbs out": [[entry({ name: ".." })], "wrong shape"],
  "a link that leads out": [[entry({ type: "symlink", hash: "", target: "../../etc" })], "leads out"],
  "a hard link that leads out": [[entry({ type: "link", target: "../../etc/passwd" })], "leads out"],
  "a name that is listed twice, a link first": [
    [
      entry({ type: "symlink", name: "d", hash: "", target: "." }),
      entry({ type: "directory", name: "d", size: 0, hash: hashOf("") }),
    ],
    "lists a name twice",
  ],
  "content that is not what its name says": [[entry({})], "changed meanwhile", { [hashOf("x")]: "y" }],
  "a file that is longer than its listing says": [[entry({ size: 0 })], "not as long"],
  "content of two sizes": [[entry({}), entry({ name: "g", size: 2 })], "not as long"],
  "content that is not there": [[entry({})], "changed meanwhile", {}],
  "a member that is not called by a hash": [[entry({})], "named by its hash", { "../evil": "x" }],
};
for (const [what, [entries, why, more]] of Object.entries(bad))
  test(`${what} is refused`, async () => {
    await expect(hostile(entries, more)).rejects.toThrow(why);
  });

test("listings that name each other many times are refused before anything is made", async () => {
  using dir = tempDir();
  await mkdir(dir.join("mirror"));
  const spoken = [];
  let listing = Array.from({ length: 100 }, (_, i) => formatEntry(entry({ name: `f${i}` }))).join("");
  for (let depth = 0; depth < 10; depth++) {
    const hash = hashOf(listing);
    spoken.push({ hash, listing });
    listing = Array.from({ length: 100 }, (_, i) =>
      formatEntry(entry({ type: "directory", size: 0, name: `d${i}`, hash })),
    ).join("");
  }
  const document = await collect(streamOf(...writeDocument(spoken)), 1e7, "it");
  const delta = writeTar([
    { name: "listings", type: "file", size: document.byteLength, body: () => streamOf(document) },
  ]);
  await expect(
    new Mirror(dir.join("mirror"), dir.join("loose")).update(spoken.at(-1)?.hash ?? "", delta, SIGNAL),
  ).rejects.toThrow("more than 1000000 names");
});

test("a document is read as it was written, however it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.option(fc.string({ unit: "binary" }))),
      fc.integer({ min: 1, max: 50 }),
      async (listings, size) => {
        const spoken = listings.map((listing) =>
          listing === null ? { hash: hashOf("") } : { hash: hashOf(listing), listing },
        );
        const bytes = await collect(streamOf(...writeDocument(spoken)), 1e6, "it");
        const pieces = Array.from({ length: Math.ceil(bytes.byteLength / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        );
        expect(await Array.fromAsync(readDocument(streamOf(...pieces)))).toEqual(spoken);
      },
    ),
  );
});

test("bits say of each number whether it was set", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(200)), (set) => {
      const bits = Bits.of(201, set);
      expect(bits.count).toBe(new Set(set).size);
      for (let at = 0; at <= 200; at++) expect(bits.has(at)).toBe(set.includes(at));
    }),
  );
});

test("mirrors that are in use are kept; those of apps that are gone and those unused for a week are not", async () => {
  using dir = tempDir();
  for (const app of ["gone", "shop"]) await mkdir(dir.join(`${app}/0`), { recursive: true });
  const mirrors = new SourceMirrors(dir.path);
  await mirrors.sweep(["shop"], Date.now());
  expect(await readdir(dir.path)).toContain("shop");
  expect(await readdir(dir.join("gone")).catch(() => [])).toEqual([]);
  expect(await readdir(dir.join("shop"))).toEqual(["0"]);
  await mirrors.sweep(["shop"], Date.now() + 8 * 24 * 60 * 60 * 1000);
  expect(await readdir(dir.join("shop"))).toEqual([]);
});
