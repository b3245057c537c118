#!/usr/bin/env bun
import type { Command, Context, Input } from "./commands/command.ts";
import { DavitError, exitCode, hasCode, reasonOf } from "./errors.ts";
import { VERSION } from "./version.ts";

/** argv → command → exit code. The only process exit and the only top-level catch are here. */
async function main(argv: string[]): Promise<number> {
  if (argv[0] === "--version" || argv[0] === "-v") {
    await show(`${VERSION}\n`);
    return 0;
  }
  try {
    return await run(argv);
  } catch (error) {
    return await report(error, argv);
  }
}

async function run(argv: string[]): Promise<number> {
  const [{ commands }, { match, ownWords }] = await Promise.all([
    import("./commands/index.ts"),
    import("./commands/dispatch.ts"),
  ]);
  if (argv.length === 0 || (argv[0] ?? "").match(/^(--help|-h)$/)) return await showHelp(commands, undefined);
  if (argv[0] === "help") return await showHelp(commands, argv.slice(1).join(" "));
  const own = ownWords(commands, argv);
  if (own.includes("--help") || own.includes("-h")) return await helpFor(commands, own);
  const { command, input } = match(commands, argv);
  const [{ makeContext }, { forRack }] = await Promise.all([
    import("./commands/context.ts"),
    import("./commands/rack-hint.ts"),
  ]);
  const interrupt = onSignals();
  const { context, close } = await makeContext(input, process.env, interrupt.signal);
  try {
    await repeat(command, input, context);
    return context.exitCode;
  } catch (error) {
    if (interrupt.code === undefined) throw forRack(error, input.text("rack"));
    // Whoever interrupts knows; only what goes on without them is worth a word.
    if (hasCode(error, "interrupted") && error.hint !== undefined) await report(error, argv);
    return interrupt.code;
  } finally {
    await close().catch(() => undefined);
  }
}

async function repeat(command: Command, input: Input, context: Context): Promise<void> {
  const seconds = Number(input.text("watch") ?? 0);
  if (!(seconds > 0)) return await command.run(input, context);
  while (!context.signal.aborted) {
    await Bun.sleep(seconds * 1000);
    const { shown } = await import("./terminal/shown.ts");
    context.stdout.print(
      shown`${context.stdout.isTerminal ? shown`\x1b[H\x1b[2J` : ""}Every ${seconds}s:\n\n`,
    );
    await command.run(input, context);
  }
}

async function showHelp(commands: readonly Command[], name: string | undefined): Promise<number> {
  const { commandHelp, overview } = await import("./commands/help.ts");
  const command = commands.find((candidate) => candidate.name === name);
  if (name && !command)
    throw new DavitError("usage", `Cannot show help for ${JSON.stringify(name)}: unknown command`, {
      hint: "see `davit help`",
    });
  await show(command ? await commandHelp(command) : overview(commands));
  return 0;
}

/** `--help` may stand anywhere, and wins over what else is wrong with the line. */
async function helpFor(commands: readonly Command[], argv: string[]): Promise<number> {
  const words = argv.filter((word) => !word.startsWith("-"));
  const named = [words.slice(0, 2).join(" "), words[0]].find((name) =>
    commands.some((command) => command.name === name),
  );
  return await showHelp(commands, named ?? words[0]);
}

/** How long work may take to clean up after a signal, in milliseconds: a reader or an engine may never answer. */
const GRACE = 5000;

/** The first SIGINT or SIGTERM asks work to stop and clean up; a second one ends it at once. */
function onSignals(): { signal: AbortSignal; code: number | undefined } {
  const controller = new AbortController();
  const state: { signal: AbortSignal; code: number | undefined } = {
    signal: controller.signal,
    code: undefined,
  };
  const handle = (code: number) => () => {
    if (state.code !== undefined) process.exit(code);
    state.code = code;
    controller.abort(new DavitError("interrupted", "Interrupted"));
    setTimeout(() => process.exit(code), GRACE).unref();
  };
  process.on("SIGINT", handle(130));
  process.on("SIGTERM", handle(143));
  return state;
}

async function report(error: unknown, argv: string[]): Promise<number> {
  if (error instanceof Error && "code" in error && error.code === "EPIPE") return 1;
  const [{ paintFor }, { Output }, { shown }] = await Promise.all([
    import("./terminal/color.ts"),
    import("./terminal/output.ts"),
    import("./terminal/shown.ts"),
  ]);
  const isTerminal = Boolean(process.stderr.isTTY);
  const stderr = new Output(2, isTerminal);
  const paint = await paintFor(isTerminal, process.env, argv.includes("--no-color"));
  const hint = error instanceof DavitError ? error.hint : undefined;
  stderr.line(shown`${paint.bad("error:")} ${oneLine(reasonOf(error))}`);
  if (hint) stderr.line(shown`${paint.label("hint:")} ${oneLine(hint)}`);
  if (argv.includes("--debug")) stderr.print(`${Bun.inspect(error, { colors: false })}\n`);
  await stderr.flush().catch(() => undefined);
  return exitCode(error);
}

function oneLine(text: string): string {
  return text.replaceAll("\n", " ").trim();
}

async function show(text: string): Promise<void> {
  const { Output } = await import("./terminal/output.ts");
  const stdout = new Output(1, Boolean(process.stdout.isTTY));
  stdout.print(text);
  await stdout.flush();
}

process.exitCode = await main(process.argv.slice(2));
// A pipe that nobody writes to any more, or an engine's open connection, must not keep a finished process alive.
process.exit();
