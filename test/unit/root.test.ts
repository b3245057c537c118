import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { linkSync, readlinkSync } from "node:fs";
import { mkdir, readFile, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { openContext, walkContext } from "../../src/build/context.ts";
import { collect, decode, encode } from "../../src/bytes.ts";
import { noteDatabase } from "../../src/databases.ts";
import { reasonOf } from "../../src/errors.ts";
import { describe as describeBytes } from "../../src/oci/descriptor.ts";
import { LayoutStore } from "../../src/oci/layout-store.ts";
import { openPlain, refuseDatabase } from "../../src/plain-file.ts";
import { MAX_TEXT, Root } from "../../src/root.ts";
import { tempDir } from "../support/temp.ts";

const SECRET = "a secret outside";

/** A project with a neighbour that it must not read. */
async function project(dir: ReturnType<typeof tempDir>): Promise<string> {
  await mkdir(dir.join("project/web"), { recursive: true });
  await writeFile(dir.join("project/file"), "inside");
  await writeFile(dir.join("project/web/Dockerfile"), "FROM scratch");
  await writeFile(dir.join("secret"), SECRET);
  await mkdir(dir.join("project-2"));
  await writeFile(dir.join("project-2/file"), SECRET);
  return dir.join("project");
}

/** The result of a read: the text, or the error's code and message. */
async function read(root: Root, name: string): Promise<string> {
  return await root.readText(name).catch((error: unknown) => reasonOf(error));
}

const LEADS_OUT = "it leads out of the project";
const ABSENT = "it is not there";
const NO_END = "its links have no end";

const names: [string, string][] = [
  ["file", "inside"],
  ["./file", "inside"],
  [".//web/.././file", "inside"],
  ["web/../web/Dockerfile", "FROM scratch"],
  ["File", ABSENT],
  ["file/", ABSENT],
  ["file/.", ABSENT],
  ["file/../file", ABSENT],
  ["nowhere/../file", ABSENT],
  ["nowhere", ABSENT],
  ["web", "it is a directory"],
  ["", "it is a directory"],
  [".", "it is a directory"],
  ["..", LEADS_OUT],
  ["../secret", LEADS_OUT],
  ["../project/file", LEADS_OUT],
  ["../project-2/file", LEADS_OUT],
  ["web/../../secret", LEADS_OUT],
  ["web/./..//.././secret", LEADS_OUT],
  ["web/../..", LEADS_OUT],
  ["/etc/passwd", LEADS_OUT],
  ["//etc/passwd", LEADS_OUT],
  ["/proc/self/environ", LEADS_OUT],
  ["/dev/zero", LEADS_OUT],
  ["..\\secret", ABSENT],
  ["%2e%2e/secret", ABSENT],
  ["fi\0le", "it holds a NUL byte"],
  ["../secret\0", "it holds a NUL byte"],
  ["a".repeat(5000), "its path is too long"],
  ["a".repeat(300), "its path is too long"],
  ["./".repeat(2600), "its path is too long"],
];

for (const [name, said] of names)
  test(`a root reads ${JSON.stringify(name.slice(0, 30))} as ${JSON.stringify(said)}`, async () => {
    using dir = tempDir();
    expect(await read(await Root.open(await project(dir)), name)).toEndWith(said);
  });

const links: Record<string, [target: (project: string) => string, said: string]> = {
  "to a file in it": [() => "file", "inside"],
  "to a file in it, by way of another directory": [() => "web/../file", "inside"],
  "to a file in it, by its whole path": [(project) => `${project}/file`, "inside"],
  "out of it": [() => "../secret", LEADS_OUT],
  "out of it, and back": [() => "../project/file", LEADS_OUT],
  "to a directory beside it whose name begins the same": [(project) => `${project}-2/file`, LEADS_OUT],
  "to a whole path elsewhere": [() => "/etc/passwd", LEADS_OUT],
  "to a device": [() => "/dev/zero", LEADS_OUT],
  "to this process": [() => "/proc/self/environ", LEADS_OUT],
  "to nothing": [() => "nowhere", ABSENT],
  "to nothing outside": [() => "../nowhere", LEADS_OUT],
  "to itself": [() => "link", NO_END],
  "to a directory": [() => "web", "it is a directory"],
};

for (const [what, [target, said]] of Object.entries(links))
  test(`a link ${what}: ${said}`, async () => {
    using dir = tempDir();
    const place = await project(dir);
    await symlink(target(place), join(place, "link"));
    expect(await read(await Root.open(place), "link")).toEndWith(said);
  });

test("a link to a directory outside leads nowhere, whatever follows it, and opens no root", async () => {
  using dir = tempDir();
  const place = await project(dir);
  await symlink("../..", join(place, "web/up"));
  await symlink("web/up", join(place, "up"));
  const root = await Root.open(place);
  for (const name of ["up", "up/secret", "up/project/file", "web/up/.", "up/../file"])
    expect(await read(root, name)).toEndWith(LEADS_OUT);
  await expect(root.directory("up")).rejects.toThrow(LEADS_OUT);
  await expect(root.directory("file")).rejects.toThrow("it is not a directory");
});

test("a directory of a root is a root of its own: nothing leads back up", async () => {
  using dir = tempDir();
  const place = await project(dir);
  await symlink("../file", join(place, "web/up"));
  const web = await (await Root.open(place)).directory("web");
  expect(await read(web, "Dockerfile")).toBe("FROM scratch");
  expect(await read(web, "up")).toBe("Cannot read web/up: it leads out of directory web");
  expect(await read(web, "../file")).toEndWith("it leads out of directory web");
});

test("forty links are followed, more are not", async () => {
  using dir = tempDir();
  const place = await project(dir);
  await symlink("file", join(place, "l1"));
  for (let i = 2; i <= 41; i++) await symlink(`l${i - 1}`, join(place, `l${i}`));
  const root = await Root.open(place);
  expect(await read(root, "l40")).toBe("inside");
  expect(await read(root, "l41")).toEndWith(NO_END);
});

test("pipes and sockets are refused at once: nobody waits for their other end", async () => {
  using dir = tempDir();
  const place = await project(dir);
  Bun.spawnSync(["mkfifo", join(place, "pipe")]);
  using _ = Bun.listen({ unix: join(place, "socket"), socket: { data: () => undefined } });
  const root = await Root.open(place);
  for (const name of ["pipe", "socket"]) {
    expect(await read(root, name)).toBe(`Cannot read ${name}: it is not a plain file`);
    expect(() => root.openFoundSync(name)).toThrow("it is not a plain file");
  }
});

test("texts are as large as is said, and not a byte larger", async () => {
  using dir = tempDir();
  const root = await Root.open(await project(dir));
  await writeFile(dir.join("project/most"), "x".repeat(MAX_TEXT));
  await writeFile(dir.join("project/more"), "x".repeat(MAX_TEXT + 1));
  expect((await root.readText("most")).length).toBe(MAX_TEXT);
  expect(await read(root, "more")).toBe("Cannot read more: it has more than 1024 KiB");
  await expect(root.readText("file", 5)).rejects.toThrow("it has more than");
  expect(await root.readText("file", 6)).toBe("inside");
});

test("errors name the path in the project, printable and short, and never where the project is", async () => {
  using dir = tempDir();
  const root = await (await Root.open(await project(dir))).directory("web");
  await symlink(`${dir.path}/secret`, dir.join("project/web/out"));
  for (const name of ["out", "nowhere", "../..", "\u001b[31m\n", "x".repeat(10_000), "Dockerfile/"]) {
    const said = await read(root, name);
    expect(said).not.toContain(dir.path);
    expect(said).toMatch(/^Cannot read [\x20-\x7e\u2026]{1,300}: [ -~]+$/);
  }
});

test("what a walk found is opened only where it was found: a directory that became a link leads nowhere", async () => {
  using dir = tempDir();
  const place = await project(dir);
  const root = await Root.open(place);
  await rename(join(place, "web"), dir.join("away"));
  await symlink(dir.join("away"), join(place, "web"));
  await expect(root.openFound("web/Dockerfile")).rejects.toThrow("it was moved while it was opened");
  expect(() => root.openFoundSync("web/Dockerfile")).toThrow("it was moved while it was opened");
  await symlink("file", join(place, "link"));
  await expect(root.openFound("link")).rejects.toThrow("it is not a plain file");
});

test("a database that SQLite has open is read in no other way, under whatever name", async () => {
  using dir = tempDir();
  const place = await project(dir);
  const path = join(place, "ledger.db");
  using db = new Database(path, { create: true });
  db.run("PRAGMA journal_mode = WAL");
  db.run("CREATE TABLE t (x)");
  noteDatabase(path);
  linkSync(path, join(place, "other"));
  linkSync(`${path}-shm`, join(place, "shared"));
  await symlink("ledger.db", join(place, "link"));
  const root = await Root.open(place);
  for (const name of ["ledger.db", "ledger.db-shm", "ledger.db-wal", "other", "shared", "link"]) {
    expect(await read(root, name)).toBe(`Cannot read ${name}: it is a database of davit that is in use`);
    expect(() => refuseDatabase(join(place, name))).toThrow("in use");
  }
  const sent: string[] = [];
  for await (const { path } of walkContext(await openContext(root, "web/Dockerfile"))) sent.push(path);
  expect(sent).toEqual(["file", "link", "web", "web/Dockerfile"]);
  await writeFile(dir.join("ledger.db"), "another");
  const file = await openPlain({ path: dir.join("ledger.db"), name: "ledger.db" });
  await file.close();
  refuseDatabase(dir.join("ledger.db"));
});

test("a layout that others made reads no pipe and no database that is in use as a blob, whatever its digest", async () => {
  using dir = tempDir();
  const store = new LayoutStore(dir.path);
  const [good, other] = [encode("good"), encode("other")].map((bytes) => describeBytes("text/plain", bytes));
  if (!good || !other) throw new Error("no blobs");
  await mkdir(dir.join("blobs/sha256"), { recursive: true });
  const blob = (digest: string): string => dir.join("blobs/sha256", digest.slice("sha256:".length));
  await writeFile(dir.join("elsewhere"), "good");
  await symlink(dir.join("elsewhere"), blob(good.digest));
  expect(decode(await collect(await store.fetch(good), 100, "the blob"))).toBe("good");
  Bun.spawnSync(["mkfifo", blob(other.digest)]);
  await expect(store.fetch(other)).rejects.toThrow("it is not a plain file");
  using db = new Database(dir.join("used.db"), { create: true });
  db.run("CREATE TABLE t (x)");
  noteDatabase(dir.join("used.db"));
  await rm(blob(other.digest));
  await symlink(dir.join("used.db"), blob(other.digest));
  await expect(store.fetch(other)).rejects.toThrow("in use");
  await symlink(dir.join("used.db"), dir.join("index.json"));
  await expect(store.index()).rejects.toThrow("in use");
});

const NAME = fc.constantFrom("a", "b");
const PART = fc.constantFrom("a", "a", "b", "b", "..", ".", "");
const PATH = fc.array(PART, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"));
const ENTRY = fc.record({
  path: fc.array(NAME, { minLength: 1, maxLength: 3 }),
  target: fc.option(
    fc.tuple(fc.constantFrom("", "/"), PATH).map(([root, path]) => root + path),
    { nil: undefined },
  ),
});

test("whatever the links, a root reads what the system would, where that lies in the root, and nothing else", async () => {
  using dir = tempDir();
  const base = await realpath(dir.path);
  let found = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(ENTRY, { minLength: 3, maxLength: 12 }),
      fc.array(PATH, { maxLength: 8 }),
      async (entries, asked) => {
        const root = join(base, "root");
        await rm(root, { recursive: true, force: true });
        await mkdir(root);
        await writeFile(join(base, "a"), SECRET);
        for (const { path, target } of entries) await put(root, join(root, ...path), target);
        const door = await Root.open(root);
        for (const name of [...asked, ...entries.map(({ path }) => path.join("/"))]) {
          const text = await door.readText(name).catch(() => undefined);

          expect(text).toBe(await oracle(root, name));
          if (text !== undefined) found++;
        }
      },
    ),
    { numRuns: 100 },
  );
  expect(found).toBeGreaterThan(30);
}, 30_000);

/** Makes a file that holds its own path, or a link; a target `/x` stands for the absolute path of x in the root. */
async function put(root: string, path: string, target: string | undefined): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    if (target === undefined) await writeFile(path, path, { flag: "wx" });
    else await symlink(target.startsWith("/") ? root + target : target || ".", path);
  } catch {
    // Something stands in its way.
  }
}

/** What the system reads, unless some step on the way was outside. */
async function oracle(root: string, name: string): Promise<string | undefined> {
  if (name.startsWith("/") || !(await staysInside(root, name))) return undefined;
  const path = await realpath(`${root}/${name}`).catch(() => undefined);
  if (path === undefined || !path.startsWith(`${root}/`)) return undefined;
  return await readFile(`${root}/${name}`, "utf8").catch(() => undefined);
}

/** Every beginning of the way, with links taken apart, is in the root. */
async function staysInside(root: string, name: string, from = root, depth = 0): Promise<boolean> {
  if (depth > 45) return false;
  let at = name.startsWith("/") ? "/" : from;
  if (name.startsWith(`${root}/`) || name === root)
    return await staysInside(root, `./${name.slice(root.length)}`, root, depth);
  for (const part of name.split("/")) {
    const next = join(at, part);
    if (next !== root && !next.startsWith(`${root}/`)) return false;
    const target = link(next);
    if (target !== undefined && !(await staysInside(root, target, at, depth + 1))) return false;
    at = await realpath(next).catch(() => next);
  }
  return at === root || at.startsWith(`${root}/`);
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
