import { abortable, type ByteStream, type Bytes } from "../bytes.ts";
import { jsonText } from "../terminal/shown.ts";
import type { Command, Context, Input } from "./command.ts";
import { openSource } from "./source.ts";

export const verify: Command = {
  name: "verify",
  args: "<archive>",
  summary: "check every digest in an archive and that nothing is missing; - passes stdin on to stdout",
  examples: [
    "davit verify build.tar",
    "davit builds export BABCDEFGHIJ -r east | davit verify - | davit builds import -r west",
  ],
  async run(input, context) {
    const [file = ""] = input.args;
    const { verifyArchive } = await import("../bundle/verify.ts");
    const { stream, size } = await openSource(file, "verify");
    const source = abortable(stream, context.signal);
    let done = 0;
    const options = {
      onWarning: (text: string) => context.stderr.line(`warning: ${text}`),
      onBytes: (count: number) => {
        done += count;
        context.progress.show({ what: "Verifying", done, total: size });
      },
    };
    if (file !== "-" || context.stdout.isTerminal) {
      const verdict = await verifyArchive(source, options);
      return report(verdict, file === "-" ? context.stderr : context.stdout, input, context);
    }
    const passed = new PassOn(source, context);
    try {
      const verdict = await verifyArchive(passed.stream(), options);
      report(verdict, context.stderr, input, context);
    } finally {
      // What follows the archive's end, or the first mistake, goes through all the same: the exit code tells.
      await passed.rest();
    }
  },
};

type Verdict = Awaited<ReturnType<typeof import("../bundle/verify.ts").verifyArchive>>;

function report(verdict: Verdict, out: Context["stdout"], input: Input, context: Context): void {
  context.progress.clear();
  if (input.on("json")) {
    out.print(`${jsonText(verdict, 2)}\n`);
    return;
  }
  const names = verdict.roots.flatMap(({ names }) => names).join(", ");
  const thin = verdict.omitted > 0 ? `, ${verdict.omitted} left out` : "";
  out.line(`OK, ${verdict.blobs} blobs, ${verdict.bytes} bytes${thin}${names ? `: ${names}` : ""}`);
}

/** Hands each chunk to stdout before it is looked at. */
class PassOn {
  readonly #source: AsyncIterator<Bytes>;
  readonly #context: Context;
  #done = false;

  constructor(source: ByteStream, context: Context) {
    this.#source = source[Symbol.asyncIterator]();
    this.#context = context;
  }

  async *stream(): AsyncGenerator<Bytes> {
    for (;;) {
      const chunk = await this.#next();
      if (!chunk) return;
      yield chunk;
    }
  }

  async #next(): Promise<Bytes | undefined> {
    if (this.#done) return undefined;
    const { done, value } = await this.#source.next();
    this.#done = done === true;
    if (done) return undefined;
    await this.#context.stdout.write(value);
    return value;
  }

  async rest(): Promise<void> {
    while (await this.#next());
  }
}
