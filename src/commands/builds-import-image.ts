import { DavitError } from "../errors.ts";
import { stdinText } from "../read-fd.ts";
import type { Command, Context, Input } from "./command.ts";
import { ensureApp } from "./ensure-app.ts";
import { json } from "./show.ts";

export const buildsImportImage: Command = {
  name: "builds import-image",
  args: "<image>",
  summary: "make a build of an image that is in a registry already",
  flags: {
    manifest: { type: "string", short: "m", summary: "path of convox.yml" },
    description: { type: "string", short: "d", summary: "what this build is" },
    "src-creds-user": { type: "string", summary: "user name at the image's registry" },
    "src-creds-pass": { type: "string", summary: "password there, for everyone on this machine to see" },
    "src-creds-pass-env": { type: "string", summary: "the environment variable that holds the password" },
    "src-creds-pass-stdin": { type: "boolean", summary: "read the password from stdin" },
  },
  examples: ["davit builds import-image registry.example.com/web:1 -a shop"],
  async run(input, context) {
    const [image = ""] = input.args;
    const { Project } = await import("../build/project.ts");
    const project = await Project.openOwn(context.cwd, input.text("manifest") ?? "convox.yml");
    const manifest = await project.readManifest();
    const credentials = await credentialsOf(input, context);
    const rack = await context.rack();
    const app = await context.appName();
    await ensureApp(rack, app, context);
    const out = input.on("json") ? context.stderr : context.stdout;
    const description = input.text("description");
    const build = await rack.relayImage(app, {
      ...{ image, credentials, manifest },
      ...(description === undefined ? {} : { description }),
      signal: context.signal,
      onStep: (what) => out.line(`${what}...`),
    });
    if (input.on("json")) json(context, build);
    else context.stdout.print(`Build:   ${build.id}\nRelease: ${build.release}\n`);
  },
};

async function credentialsOf(input: Input, context: Context) {
  const [plain, variable] = [input.text("src-creds-pass"), input.text("src-creds-pass-env")];
  const fromStdin = input.on("src-creds-pass-stdin");
  const forms = [plain !== undefined, variable !== undefined, fromStdin].filter(Boolean).length;
  if (forms > 1)
    throw new DavitError(
      "usage",
      "at most one of --src-creds-pass, --src-creds-pass-env, --src-creds-pass-stdin may be specified",
    );
  if (forms === 0) return undefined;
  if (plain !== undefined)
    context.stderr.line("warning: everyone on this machine can see a password on the command line");
  const username = input.text("src-creds-user") ?? "";
  if (variable === undefined)
    return { username, password: plain ?? ((await stdinText()).split("\n")[0] ?? "").trim() };
  const password = context.env[variable];
  if (password === undefined)
    throw new DavitError("usage", `--src-creds-pass-env=${variable}: environment variable not set`);
  return { username, password };
}
