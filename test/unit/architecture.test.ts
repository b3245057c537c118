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
