import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { openContext, walkContext } from "../../src/build/context.ts";
import { IgnoreRules, type ParentMatches } from "../../src/build/dockerignore.ts";
import { Root } from "../../src/root.ts";
import { startBuildkit } from "../support/buildkitd.ts";
import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { peer } from "../support/peers.ts";
import { random, seed, verdict } from "./verdict.ts";

/* Ignore rules as others read them: moby's own matcher, and the engine's BuildKit through docker's client. */
const AGAINST_MOBY = Number(process.env["SETS"] ?? 4000);
const AGAINST_ENGINE = Number(process.env["BUILDS"] ?? 116);
const next = random(seed());

function pick<T>(from: readonly T[]): T {
  const found = from[Math.floor(next() * from.length)];
  if (found === undefined) throw new Error("nothing to pick from");
  return found;
}

function several<T>(least: number, most: number, make: () => T): T[] {
  return Array.from({ length: least + Math.floor(next() * (most - least + 1)) }, make);
}

const NAMES = ["a", "ab", "a.b", "b", "node_modules", ".git", "x y", "\u00e9", "abc", "log.txt", "c.log"];
const PARTS = [
  ...NAMES,
  "*",
  "**",
  "?",
  "*.log",
  "a*",
  "[a-b]",
  "[^a]",
  "*b*",
  "**.txt",
  ".",
  "..",
  "\\a",
  "",
];

function pattern(): string {
  const text = `${next() < 0.15 ? "/" : ""}${several(1, 3, () => pick(PARTS)).join("/")}${next() < 0.1 ? "/" : ""}`;
  return `${next() < 0.3 ? "!" : ""}${text}`;
}

function path(): string {
  return several(1, 4, () => pick(NAMES)).join("/");
}

interface IgnoreSet {
  file: string;
  paths: string[];
}

function make(): IgnoreSet {
  const lines = several(1, 5, () =>
    next() < 0.05 ? `# ${pattern()}` : next() < 0.1 ? ` ${pattern()} ` : pattern(),
  );
  return { file: lines.join("\n"), paths: [...new Set(several(8, 16, path))] };
}

/** Undefined where a pattern is none. */
function ours({ file, paths }: IgnoreSet): boolean[] | undefined {
  try {
    const rules = IgnoreRules.parse(file);
    return paths.map((one) => {
      let [matches, ignored]: [ParentMatches, boolean] = [[], false];
      const names = one.split("/");
      for (let i = 1; i <= names.length; i++) {
        const judged = rules.judge(names.slice(0, i).join("/"), matches);
        [matches, ignored] = [judged.matches, judged.ignored];
      }
      return ignored;
    });
  } catch {
    return undefined;
  }
}

const GO = `package main

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

type set struct {
	File  string
	Paths []string
}

func judge(s set) []bool {
	patterns, err := ignorefile.ReadAll(strings.NewReader(s.File))
	if err != nil {
		return nil
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil
	}
	found := []bool{}
	for _, path := range s.Paths {
		ignored, err := false, error(nil)
		info := patternmatcher.MatchInfo{}
		names := strings.Split(path, "/")
		for i := range names {
			ignored, info, err = matcher.MatchesUsingParentResults(strings.Join(names[:i+1], "/"), info)
			if err != nil {
				return nil
			}
		}
		found = append(found, ignored)
	}
	return found
}

func main() {
	var sets []set
	if err := json.NewDecoder(os.Stdin).Decode(&sets); err != nil {
		panic(err)
	}
	results := [][]bool{}
	for _, s := range sets {
		results = append(results, judge(s))
	}
	json.NewEncoder(os.Stdout).Encode(results)
}
`;

async function mobys(sets: IgnoreSet[]): Promise<(boolean[] | null)[]> {
  const dir = await mkdtemp(join(tmpdir(), "davit-moby-"));
  try {
    await writeFile(join(dir, "main.go"), GO);
    await writeFile(join(dir, "sets.json"), JSON.stringify(sets));
    await sh(["go", "mod", "init", "sets"], { cwd: dir });
    await sh(["go", "get", "github.com/moby/patternmatcher@v0.6.0"], { cwd: dir });
    return JSON.parse(await sh(["sh", "-c", "go run . < sets.json"], { cwd: dir }));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const sets = Array.from({ length: AGAINST_MOBY }, make);
const theirs = await mobys(sets);
const differ = sets.filter(
  (set, i) => JSON.stringify(ours(set) ?? null) !== JSON.stringify(theirs[i] ?? null),
);
for (const set of differ.slice(0, 3)) process.stdout.write(`${JSON.stringify(set)}\n`);
verdict(
  differ.length === 0,
  `${AGAINST_MOBY} random ignore sets judged as moby's matcher does`,
  `${differ.length} differ, ${theirs.filter((one) => one === null).length} are no patterns for either`,
);

/** Members of a tar that a command writes, sorted. */
async function members(command: string[], dir: string): Promise<string> {
  const list = await sh(["sh", "-c", `${command.join(" ")} | tar -t --quoting-style=literal`], {
    cwd: dir,
    env: { ...process.env, DOCKER_BUILDKIT: "1" },
  });
  const names = list.split("\n").map((line) => line.replace(/\/$/, ""));
  return JSON.stringify(names.filter(Boolean).sort());
}

/** What of a directory the engine's build gets by docker's client, and a buildkitd's by BuildKit's own of today. */
const DOCKERS = [DOCKER, "build", "-q", "-o", "type=tar,dest=-", "."];
const buildkit = await startBuildkit();
const BUILDKITS = [
  ...[peer("buildctl"), "--addr", buildkit.address, "build", "--frontend", "dockerfile.v0"],
  ...["--local", "context=.", "--local", "dockerfile=.", "--output", "type=tar", "2>/dev/null"],
];

let [built, old, wrong] = [0, 0, 0];
using box = sandbox();
for (let i = 0; built < AGAINST_ENGINE; i++) {
  const set = make();
  if (!ours(set)) continue;
  const dir = box.join(`set${i}`);
  await mkdir(dir);
  await writeFile(join(dir, "Dockerfile"), "FROM scratch\nCOPY . /\n");
  for (const one of set.paths) {
    await mkdir(join(dir, dirname(one)), { recursive: true }).catch(() => undefined);
    if (next() < 0.1) await symlink("nowhere", join(dir, one)).catch(() => undefined);
    else await writeFile(join(dir, one), one).catch(() => undefined);
  }
  await writeFile(join(dir, ".dockerignore"), set.file);
  const mine: string[] = [];
  for await (const item of walkContext(await openContext(await Root.open(dir), "Dockerfile"), false))
    mine.push(item.path);
  const found = JSON.stringify(mine.sort());
  const theirs = await members(BUILDKITS, dir);
  if (found !== (await members(DOCKERS, dir))) old++;
  if (found !== theirs) {
    wrong++;
    process.stdout.write(`${JSON.stringify(set)}\n${found}\n${theirs}\n`);
  }
  built++;
  await rm(dir, { recursive: true });
}
verdict(
  wrong === 0,
  `${AGAINST_ENGINE} ignore sets leave what BuildKit of today gets`,
  `${wrong} differ; docker 20.10's client, whose matcher is older, differs in ${old}`,
);
await buildkit[Symbol.asyncDispose]();
await sh([DOCKER, "builder", "prune", "-af"]);
