import { fstatSync, openSync } from "node:fs";
import { abortable, type ByteStream } from "../bytes.ts";
import { DavitError, systemError } from "../errors.ts";
import { readFd, stdin } from "../read-fd.ts";
import type { Command, Context } from "./command.ts";
import { ensureApp } from "./ensure-app.ts";
import { json, step } from "./show.ts";

export const buildsImport: Command = {
  name: "builds import",
  summary: "read a build from an archive, on stdin or in a file, and make a release of it",
  flags: {
    file: { type: "string", short: "f", summary: "read this file" },
    id: { type: "boolean", summary: "print only the release id; the rest goes to stderr" },
    "idempotency-key": { type: "string", summary: "the same key again returns the first import's build" },
  },
  examples: ["davit builds import -a shop -f build.tar", "davit builds import -a shop < build.tar"],
  async run(input, context) {
    const file = input.text("file");
    const fromFile = file !== undefined && file !== "-";
    if (!fromFile && process.stdin.isTTY)
      throw new DavitError("usage", "Cannot import from a terminal", {
        hint: "pipe a file into this command or specify --file",
      });
    const source: { stream: ByteStream; size?: number } = fromFile
      ? await openFile(file)
      : { stream: stdin() };
    const app = await context.appName();
    const rack = await context.rack();
    await ensureApp(rack, app, context);
    const key = input.text("idempotency-key");
    const out = input.on("id") || input.on("json") ? context.stderr : context.stdout;
    const options = {
      ...handlers(context),
      ...(source.size === undefined ? {} : { size: source.size }),
      ...(key === undefined ? {} : { idempotencyKey: key }),
    };
    const build = await step(
      out,
      "Importing build",
      () => rack.importBuild(app, abortable(source.stream, context.signal), options),
      (done) => done.release,
    );
    if (input.on("id")) context.stdout.print(build.release);
    else if (input.on("json")) json(context, build);
  },
};

function handlers(context: Context) {
  return {
    signal: context.signal,
    onWarning: (text: string) => context.stderr.line(`warning: ${text}`),
    onProgress: (progress: { what: string; done: number; total?: number }) => context.progress.show(progress),
  };
}

/** Not closed: the process ends with the command. */
async function openFile(path: string): Promise<{ stream: ByteStream; size?: number }> {
  try {
    const fd = openSync(path, "r");
    const info = fstatSync(fd);
    if (info.isDirectory()) throw new DavitError("invalid", `Cannot read ${path}: it is a directory`);
    return { stream: readFd(fd, path), ...(info.isFile() ? { size: info.size } : {}) };
  } catch (error) {
    throw systemError(`Cannot read ${path}`, error);
  }
}
