import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";
import { rackOptions } from "./context.ts";

export const rackBackup: Command = {
  name: "rack backup",
  summary: "write an embedded rack, all but its key, as one archive, while others go on using it",
  flags: { file: { type: "string", short: "f", summary: "write to this file, else to stdout" } },
  examples: ["davit rack backup -f rack.tar", "davit rack backup | ssh backup 'cat > rack.tar'"],
  async run(input, context) {
    const file = input.text("file");
    const toFile = file !== undefined && file !== "-";
    if (!toFile && context.stdout.isTerminal)
      throw new DavitError("usage", "Cannot write a backup to a terminal", {
        hint: "pipe this command, or name a file",
      });
    const [{ EmbeddedRack }, { Home }, { checkName }] = await Promise.all([
      import("../rack/embedded.ts"),
      import("../rack/home.ts"),
      import("../rack/ids.ts"),
    ]);
    const name = checkName("rack", await context.rackName());
    await using rack = await EmbeddedRack.open(name, rackOptions(context.env));
    let done = 0;
    async function* shown() {
      for await (const chunk of rack.backup()) {
        context.signal.throwIfAborted();
        yield chunk;
        done += chunk.byteLength;
        context.progress.show({ what: "Backing up", done });
      }
    }
    if (toFile) await (await import("../write-file.ts")).writeFileStream(file, shown(), 0o600);
    else for await (const chunk of shown()) await context.stdout.write(chunk);
    context.progress.clear();
    const key = `${new Home(context.env).rackDir(name)}/key`;
    context.stderr.line(`The key is not in it: keep ${key} too, apart from the backup`);
  },
};
