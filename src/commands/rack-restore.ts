import { existsSync } from "node:fs";
import { join } from "node:path";
import { abortable } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { readNamed } from "../plain-file.ts";
import type { Command } from "./command.ts";
import { step } from "./show.ts";
import { openSource } from "./source.ts";

/** A key is short, in bytes. */
const MAX_KEY = 4096;

export const rackRestore: Command = {
  name: "rack restore",
  args: "<name>",
  summary: "make an embedded rack of a backup, on stdin or in a file",
  flags: {
    file: { type: "string", short: "f", summary: "read this file" },
    key: { type: "string", summary: "the key file that belongs to it" },
  },
  examples: ["davit rack restore east -f rack.tar --key east.key"],
  async run(input, context) {
    const [name = ""] = input.args;
    const [{ restore }, { Home }, { checkName }] = await Promise.all([
      import("../rack/backup.ts"),
      import("../rack/home.ts"),
      import("../rack/ids.ts"),
    ]);
    const dir = new Home(context.env).rackDir(checkName("rack", name));
    const key = input.text("key");
    if (key !== undefined && !existsSync(key))
      throw new DavitError("not-found", `Cannot read the key ${key}: it is not there`);
    const keyText = key === undefined ? undefined : await readNamed(key, MAX_KEY);
    const { stream } = await openSource(input.text("file"), "restore");
    const restored = await step(
      context.stdout,
      `Restoring rack ${name}`,
      () => restore(abortable(stream, context.signal), dir, keyText),
      ({ blobs }) => `${blobs} blobs`,
    );
    const place = join(dir, "key");
    if (key === undefined)
      context.stderr.line(`It opens with key ${restored.key}: put that into ${place}, or set DAVIT_KEY`);
  },
};
