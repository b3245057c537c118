import { createHmac, randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "../build/context.ts";
import type { Built } from "../build/pipeline.ts";
import { type Before, causesOf } from "../build/step-causes.ts";
import type { Step } from "../build/steps.ts";
import type { BuildStep } from "../bundle/record.ts";
import { checkJson, type Static, Type } from "../schema.ts";
import { changedPaths } from "../tree/changes.ts";
import { scanTree } from "../tree/scan.ts";
import { TreeFile } from "../tree/tree-file.ts";
import { replaceFile } from "../write-file.ts";

/*
 * What each service's last build here was made from, so that the next can say what is
 * different. Without these notes builds are the same; they only tell less.
 */

const Note = Type.Object({
  build: Type.String(),
  /** Of the values below, which are nobody's to read. */
  salt: Type.String(),
  args: Type.Record(Type.String(), Type.String()),
  steps: Type.Array(Type.Object({ stage: Type.String(), text: Type.String() })),
});
type Note = Static<typeof Note>;

export interface NoteOptions {
  /** Where the notes of an app are. */
  dir: string;
  /** The build's id. */
  build: string;
  noCache: boolean;
  /** Takes secrets out of a text. */
  redact(text: string): string;
}

/** Says of each step whether it was cached, and why not; notes what the next build is to be compared with. */
export async function explainSteps(built: Built, options: NoteOptions): Promise<BuildStep[]> {
  const steps = built.steps.map((step) => ({
    ...step,
    text: options.redact(step.text),
    name: options.redact(step.name),
  }));
  const [service = ""] = built.services;
  const causes = await compared(built, steps, options).catch(() => undefined);
  return steps.map(({ name, cached, seconds }, at) => {
    const cause = causes?.[at];
    const rounded = Math.round(seconds * 1000) / 1000;
    return {
      service,
      name,
      cached,
      seconds: rounded,
      ...(cause === undefined ? {} : { cause: options.redact(cause) }),
    };
  });
}

async function compared(built: Built, steps: Step[], options: NoteOptions): Promise<(string | undefined)[]> {
  const path = join(options.dir, built.services[0] ?? "");
  const note = await read(`${path}.json`);
  const before: Before | undefined = note && {
    build: note.build,
    steps: note.steps,
    args: differing(note, built.args),
    files: undefined,
  };
  const causes = causesOf(steps, before, options.noCache);
  if (causes.every((cause) => cause === undefined) && before) return causes;
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const files = await contextChanges(steps, built.context, `${path}.tree`);
  await write(`${path}.json`, built, steps, options);
  return causesOf(steps, before && { ...before, files }, options.noCache);
}

async function read(path: string): Promise<Note | undefined> {
  try {
    return checkJson(Note, await readFile(path, "utf8"), path);
  } catch {
    return undefined;
  }
}

async function write(path: string, { args }: Built, steps: Step[], { build }: NoteOptions): Promise<void> {
  const salt = randomBytes(16).toString("hex");
  const sealed = Object.entries(args).map(([name, value]) => [name, sealedValue(salt, value)]);
  const note: Note = {
    ...{ build, salt, args: Object.fromEntries(sealed) },
    steps: steps.map(({ stage, text }) => ({ stage, text })),
  };
  await replaceFile(path, JSON.stringify(note));
}

function differing(note: Note, args: Record<string, string>): string[] {
  const names = new Set([...Object.keys(note.args), ...Object.keys(args)]);
  return [...names].filter((name) => {
    const value = args[name];
    return note.args[name] !== (value === undefined ? undefined : sealedValue(note.salt, value));
  });
}

function sealedValue(salt: string, value: string): string {
  return createHmac("sha256", salt).update(value).digest("hex");
}

/** Looks at the context again, where a step was not cached that takes files out of it. */
async function contextChanges(
  steps: readonly Step[],
  context: Context,
  path: string,
): Promise<string[] | undefined> {
  if (!steps.some(({ fromContext, cached }) => fromContext && !cached)) return undefined;
  // What the build left behind goes first: a large context's description is large, too.
  Bun.gc(true);
  using before = TreeFile.openIfGood(path);
  using now = await scanTree(context, path, () => undefined, { forced: false });
  return before && [...changedPaths(before, now)];
}
