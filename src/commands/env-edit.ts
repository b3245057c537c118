import { chmod, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DavitError } from "../errors.ts";
import { removeScratch } from "../scratch.ts";
import type { Command, Context } from "./command.ts";
import { readEnv } from "./env.ts";
import { changeEnv, changeFlags } from "./env-change.ts";

export const envEdit: Command = {
  name: "env edit",
  summary: "edit the env in $EDITOR, in a new release",
  flags: changeFlags,
  examples: ["EDITOR=nano davit env edit -a shop"],
  async run(input, context) {
    const { parseEnv, renderEnv } = await import("../rack/env-text.ts");
    const before = renderEnv(await readEnv(input, context));
    const after = parseEnv(await edit(`${before}\n`, await context.appName(), context));
    await changeEnv(input, context, `Setting ${Object.keys(after).sort().join(", ")}`, () => after);
  },
};

/** The file lies in a directory of its own that only this user can enter. */
async function edit(text: string, app: string, context: Context): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "davit-env-"));
  try {
    await chmod(dir, 0o700);
    const file = join(dir, `${app}.env`);
    await writeFile(file, text, { mode: 0o600 });
    const editor = context.env["VISUAL"] || context.env["EDITOR"] || "vi";
    const process = Bun.spawn([...editor.split(" "), file], { stdio: ["inherit", "inherit", "inherit"] });
    if ((await process.exited) !== 0)
      throw new DavitError("io", `Cannot edit env: ${editor} failed`, { hint: "nothing was changed" });
    return await readFile(file, "utf8");
  } finally {
    await removeScratch(dir);
  }
}
