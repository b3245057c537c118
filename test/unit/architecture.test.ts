import { expect, test } from "bun:test";
import { dirname, join, relative, resolve } from "node:path";
import { Glob } from "bun";

const SRC = resolve(import.meta.dir, "../../src");

/** Folders, top to bottom. A file may import from its own row and from rows below, never from above. */
const LAYERS: string[][] = [
  ["main"],
  ["commands"],
  ["server"],
  ["rack"],
  ["tree"],
  ["build", "runtime", "bundle"],
  ["manifest"],
  ["oci"],
  ["docker-api", "http"],
  ["tar"],
  ["base"],
];

/** Folders of one row that know nothing of each other. */
const SEPARATE = ["build", "runtime", "bundle", "docker-api", "http"];

/** Imported by these only. */
const TERMINAL = ["main", "commands", "terminal"];

function folderOf(path: string): string {
  const name = relative(SRC, path);
  if (name === "main.ts") return "main";
  return name.includes("/") ? (name.split("/")[0] ?? "") : "base";
}

async function imports(): Promise<{ from: string; to: string; file: string }[]> {
  const found: { from: string; to: string; file: string }[] = [];
  for await (const name of new Glob("**/*.ts").scan(SRC)) {
    const path = join(SRC, name);
    const text = await Bun.file(path).text();
    for (const [, target] of text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)) {
      const to = resolve(dirname(path), target ?? "");
      if (to.startsWith(SRC)) found.push({ from: folderOf(path), to: folderOf(to), file: name });
    }
  }
  return found;
}

function rank(folder: string): number {
  return LAYERS.findIndex((row) => row.includes(folder));
}

test("no import goes up a layer, or sideways between folders that are separate", async () => {
  const wrong = (await imports()).filter(({ from, to }) => {
    if (from === to || from === "terminal") return false;
    if (to === "terminal") return !TERMINAL.includes(from);
    return rank(from) > rank(to) || (rank(from) === rank(to) && SEPARATE.includes(from));
  });
  expect(wrong).toEqual([]);
});

test("the terminal knows nothing of racks, stores or engines", async () => {
  const wrong = (await imports()).filter(
    ({ from, to }) => from === "terminal" && !["terminal", "base"].includes(to),
  );
  expect(wrong).toEqual([]);
});

test("every folder has a layer", async () => {
  for (const { from, to } of await imports())
    for (const folder of [from, to]) expect(folder === "terminal" || rank(folder) >= 0).toBe(true);
});

test("only src/http and src/docker-api call fetch, and only main ends the process", async () => {
  for await (const name of new Glob("**/*.ts").scan(SRC)) {
    const text = await Bun.file(join(SRC, name)).text();
    if (/\bawait fetch\(|[^.\w]fetch\(target|[^.\w]fetch\(url/.test(text))
      expect(["http", "docker-api"]).toContain(folderOf(join(SRC, name)));
    if (/process\.exit\(/.test(text)) expect(name).toBe("main.ts");
  }
});

/** Commands whose output is bytes of the user's own: archives, and what their programs write. */
const RAW = [...["builds-export", "builds-logs", "inspect", "logs", "pull", "rack-backup", "verify"]].map(
  (name) => `commands/${name}.ts`,
);

test("text reaches the terminal by one door, which makes others' control characters visible", async () => {
  for await (const name of new Glob("**/*.ts").scan(SRC)) {
    if (name.startsWith("terminal/") || name.startsWith("runtime/inside/")) continue;
    const text = await Bun.file(join(SRC, name)).text();
    const past =
      /process\.(stdout|stderr)\.write|console\.(log|error|warn|info)|Bun\.std(out|err)\b|\.trusted\(/;
    expect([name, past.exec(text)?.[0]]).toEqual([name, undefined]);
    if (/\b(stdout|stderr|out|output|talk)\.write\(/.test(text)) expect(RAW).toContain(name);
  }
});

/**
 * Files that may open others by themselves. What they open is davit's own, is written, or is named by the
 * user's settings; all else goes through `Root` or plain-file.ts, which know what must not be opened.
 */
const OPENERS = [
  ...["plain-file.ts", "pipes.ts", "owner.ts", "databases.ts", "volumes.ts", "write-file.ts"],
  // Archives and sources that are written.
  ...["build/unpack.ts", "bundle/archive-file.ts", "oci/archive-file-store.ts", "build/read-zip.ts"],
  // What lies in a store, a rack or a mirror, named by digests, ids and davit itself.
  ...["oci/blob-pool.ts", "oci/pool-writer.ts", "oci/pool-upload.ts"],
  ...["oci/archive-store.ts", "oci/registry-profile.ts", "oci/upload-journal.ts", "server/registry/blobs.ts"],
  ...["rack/backup.ts", "rack/home.ts", "rack/find-rack.ts", "rack/seal.ts"],
  ...["rack/step-notes.ts", "server/self-signed.ts", "server/server-lock.ts", "server/disk-threads.ts"],
  ...["tree/mirror.ts", "tree/tree-file.ts"],
  // Settings of this machine.
  ...["docker-api/buildkit-host.ts", "docker-api/host.ts", "http/aws-credentials.ts", "http/azure.ts"],
  ...[
    "http/docker-auth.ts",
    "http/docker-login.ts",
    "http/first-use.ts",
    "http/google.ts",
    "http/host-trust.ts",
  ],
  // What the command line names.
  ...["commands/builds-export.ts", "commands/env-edit.ts", "commands/rack-install.ts"],
  ...["commands/rack-rekey.ts", "commands/rack-start.ts", "commands/source.ts"],
];

test("what others may have named is opened through one door", async () => {
  const found: string[] = [];
  for await (const name of new Glob("**/*.ts").scan(SRC)) {
    const text = await Bun.file(join(SRC, name)).text();
    const imports = [...text.matchAll(/\{([^}]*)\}(?: =|\s*from|,[^=]*=)[^;]*"node:fs(?:\/promises)?"/g)];
    const opens = imports.some(([, names]) =>
      /\b(open|openSync|readFile|readFileSync|copyFile|copyFileSync|createReadStream)\b/.test(names ?? ""),
    );
    if (opens || /\bBun\.(file|mmap)\(/.test(text)) found.push(name);
  }
  expect(found.filter((name) => !OPENERS.includes(name))).toEqual([]);
  expect(OPENERS.filter((name) => !found.includes(name))).toEqual([]);
});

test("only databases that are noted are opened for long", async () => {
  const found: string[] = [];
  for await (const name of new Glob("**/*.ts").scan(SRC))
    if (/new Database\(/.test(await Bun.file(join(SRC, name)).text())) found.push(name);
  const known = [
    "lock.ts",
    ...["open-ledger", "postgres-database", "sqlite-database"].map((name) => `rack/${name}.ts`),
  ];
  expect(found.filter((name) => !known.includes(name))).toEqual([]);
});

test("bodies and other programs' output are read with a limit and a timer, in two files", async () => {
  for await (const name of new Glob("**/*.ts").scan(SRC)) {
    const text = await Bun.file(join(SRC, name)).text();
    const unbounded =
      /(?<!reader)\.(text|json|arrayBuffer|blob|bytes|formData)\(\)|new Response\(\w+\.std(out|err)\)/;
    expect([name, unbounded.exec(text)?.[0]]).toEqual([name, undefined]);
  }
});

test("a command in a hint stands in backticks, by which it is found and told the rack that -r named", async () => {
  for await (const name of new Glob("**/*.ts").scan(SRC)) {
    const text = await Bun.file(join(SRC, name)).text();
    expect([name, /\bhint: ["`]davit .*/.exec(text)?.[0]]).toEqual([name, undefined]);
  }
});
