import type { Output } from "../terminal/output.ts";
import { jsonText, shown } from "../terminal/shown.ts";
import type { Context, Input } from "./command.ts";

/**
 * `Doing something... OK`, with what came of it where there is something to say.
 * Off a terminal the line is printed whole, so that two davits in one pipe do not
 * mix theirs on the stderr they share.
 */
export async function step<T>(
  output: Output,
  what: string,
  work: () => Promise<T>,
  result?: (value: T) => string,
): Promise<T> {
  const begin = `${what}... `;
  if (output.isTerminal) output.print(begin);
  try {
    const value = await work();
    const came = result ? `, ${result(value)}` : "";
    output.line(shown`${output.isTerminal ? "" : begin}${output.paint.good("OK")}${came}`);
    return value;
  } catch (error) {
    output.line(output.isTerminal ? "" : begin.trimEnd());
    throw error;
  }
}

export function json(context: Context, value: unknown): void {
  context.stdout.print(`${jsonText(value, 2)}\n`);
}

/** Destructive work wants `--yes`, or a yes on a terminal; it never waits where nobody can answer. */
export async function confirm(input: Input, context: Context, question: string): Promise<void> {
  if (input.on("yes")) return;
  const { DavitError } = await import("../errors.ts");
  const refuse = () =>
    new DavitError("usage", `${question}: not confirmed`, { hint: "give --yes to go ahead" });
  if (!process.stdin.isTTY || !context.stderr.isTerminal) throw refuse();
  context.stderr.print(shown`${question}? [y/N] `);
  await context.stderr.flush();
  for await (const line of console) {
    if (/^y(es)?$/i.test(line.trim())) return;
    throw refuse();
  }
}

/** The apps of `--for-app`, which may be repeated, and may hold several joined with commas. */
export function appsOf(input: Input): string[] {
  return input.texts("for-app").flatMap((text) => text.split(",").filter((app) => app !== ""));
}

/** A positive number from a flag; `fallback` when it was not given. */
export async function numberFlag(input: Input, flag: string, fallback: number): Promise<number> {
  const text = input.text(flag);
  if (text === undefined) return fallback;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  const { DavitError } = await import("../errors.ts");
  throw new DavitError("usage", `Cannot use --${flag} ${JSON.stringify(text)}: it is not a number from 1 up`);
}
