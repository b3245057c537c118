import { parseArgs } from "node:util";
import { DavitError, reasonOf } from "../errors.ts";
import type { Command, Flag, Input } from "./command.ts";

/** Flags that every command takes. */
export const GLOBAL_FLAGS: Record<string, Flag> = {
  app: { type: "string", short: "a", summary: "app, else the directory's name" },
  rack: { type: "string", short: "r", summary: "rack, else the one `davit switch` chose" },
  json: { type: "boolean", summary: "print JSON" },
  yes: { type: "boolean", summary: "answer yes to every question" },
  progress: { type: "string", summary: "auto, plain, json or none" },
  watch: { type: "string", summary: "show again every N seconds" },
  debug: { type: "boolean", summary: "show where an error came from" },
  "no-color": { type: "boolean", summary: "no colours" },
  wait: { type: "boolean", short: "w", summary: "accepted for convox's sake" },
  help: { type: "boolean", short: "h", summary: "show help" },
};

export interface Match {
  command: Command;
  input: Input;
}

/**
 * Finds the command and reads its flags. Values stay the exact strings that were
 * typed (cac, which draws our help, would make 1.1 of 1.10); whatever is unknown
 * is an error, with the nearest known word as a hint.
 */
export function match(commands: readonly Command[], argv: string[]): Match {
  const { words, rest, command, used } = found(commands, argv);
  if (!command) throw unknownCommand(commands, words);
  if (used === 1 && words[1] !== undefined && command.args === undefined)
    throw unknownCommand(commands, words);
  const input = readInput(command, commandLast(command, rest.slice(used)));
  checkCount(command, input.args);
  return { command, input };
}

/** The words of a command line that are davit's own: not what follows `--`, and not another program's flags. */
export function ownWords(commands: readonly Command[], argv: string[]): string[] {
  const { rest, command, used } = found(commands, argv);
  const words = command ? [...rest.slice(0, used), ...commandLast(command, rest.slice(used))] : argv;
  const end = words.indexOf("--");
  return end < 0 ? words : words.slice(0, end);
}

function found(commands: readonly Command[], argv: string[]) {
  const { words, rest } = leadingWords(argv);
  const two = words.length === 2 ? commands.find((command) => command.name === words.join(" ")) : undefined;
  const command = two ?? commands.find((candidate) => candidate.name === words[0]);
  return { words, rest, command, used: two ? 2 : 1 };
}

/**
 * Puts the words of another program last, after `--`, for commands that run one. From that program's
 * name on, `--help` and flags that davit does not know belong to it. Flags that davit knows are its
 * own there too, as with the original, up to a `--`.
 */
function commandLast(command: Command, argv: string[]): string[] {
  if (!command.args?.endsWith("<command...>")) return argv;
  const flags = { ...GLOBAL_FLAGS, ...command.flags };
  const [ours, words]: [string[], string[]] = [[], []];
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "--") return [...ours, "--", ...words, ...argv.slice(at + 1)];
    const flag = flagOf(flags, word);
    const isTheirs = words.length >= 2 && (flag === undefined || flag === flags["help"]);
    if (!word.startsWith("-") || word === "-" || isTheirs) words.push(word);
    else {
      ours.push(word);
      const takesValue = flag !== undefined && flag.type !== "boolean" && !word.includes("=");
      if (takesValue && at + 1 < argv.length) ours.push(argv[++at] ?? "");
    }
  }
  return [...ours, "--", ...words];
}

/** Brings the command's words to the front, past flags that were written before them. */
function leadingWords(argv: string[]): { words: string[]; rest: string[] } {
  const words: string[] = [];
  const flags: string[] = [];
  let at = 0;
  for (; at < argv.length && words.length < 2; at++) {
    const word = argv[at] ?? "";
    const flag = flagOf(GLOBAL_FLAGS, word);
    if (!word.startsWith("-")) words.push(word);
    else if (!flag) break;
    else {
      flags.push(word);
      if (flag.type !== "boolean" && !word.includes("=") && at + 1 < argv.length)
        flags.push(argv[++at] ?? "");
    }
  }
  return { words, rest: [...words, ...flags, ...argv.slice(at)] };
}

function flagOf(flags: Record<string, Flag>, word: string): Flag | undefined {
  const name = word.replace(/^--?/, "").split("=")[0];
  return Object.entries(flags).find(([long, { short }]) =>
    word.startsWith("--") ? long === name : short === name,
  )?.[1];
}

function readInput(command: Command, argv: string[]): Input {
  const flags = { ...GLOBAL_FLAGS, ...command.flags };
  try {
    const { values, positionals } = parseArgs({
      args: argv.flatMap((word, i) => booleanValue(flags, argv, word, i)),
      options: Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, parseOption(flag)])),
      allowPositionals: true,
      strict: true,
    });
    return asInput(values, positionals);
  } catch (error) {
    throw new DavitError(
      "usage",
      `Cannot run "${command.name}": ${lowerFirst(reasonOf(error).split(". To specify")[0] ?? "")}`,
      {
        cause: error,
        hint: `see \`davit ${command.name} --help\``,
      },
    );
  }
}

function parseOption(flag: Flag): { type: "string" | "boolean"; multiple: boolean; short?: string } {
  const type = flag.type === "boolean" ? "boolean" : "string";
  return { type, multiple: flag.type === "strings", ...(flag.short ? { short: flag.short } : {}) };
}

/** `--flag=true` and `--flag=false` are understood for flags without a value. */
function booleanValue(flags: Record<string, Flag>, argv: string[], word: string, at: number): string[] {
  const end = argv.indexOf("--");
  const [, name = "", value] = /^--([a-z-]+)=(true|false)$/.exec(word) ?? [];
  if (flags[name]?.type !== "boolean" || (end >= 0 && at > end)) return [word];
  return value === "true" ? [`--${name}`] : [];
}

type Parsed = Record<string, string | boolean | (string | boolean)[] | undefined>;

function asInput(values: Parsed, args: string[]): Input {
  const texts = (flag: string): string[] => [values[flag] ?? []].flat().map(String);
  return { args, texts, text: (flag) => texts(flag)[0], on: (flag) => values[flag] === true };
}

function checkCount(command: Command, args: string[]): void {
  if (args.length > 0 && command.args === undefined)
    throw new DavitError(
      "usage",
      `Cannot run "${command.name}": it takes no arguments, got ${JSON.stringify(args[0])}`,
    );
  const shape = command.args?.split(" ") ?? [];
  const required = shape.filter((arg) => arg.startsWith("<")).length;
  const most = shape.some((arg) => arg.includes("...")) ? Number.POSITIVE_INFINITY : shape.length;
  const usage = { hint: `usage: davit ${command.name} ${command.args ?? ""}`.trimEnd() };
  if (args.length < required)
    throw new DavitError(
      "usage",
      `Cannot run "${command.name}": ${required} arg${required > 1 ? "s" : ""} required`,
      usage,
    );
  if (args.length > most)
    throw new DavitError(
      "usage",
      `Cannot run "${command.name}": no more than ${most} arg${most > 1 ? "s" : ""} expected`,
      usage,
    );
}

function unknownCommand(commands: readonly Command[], words: string[]): DavitError {
  const typed = words.slice(0, 2).join(" ");
  const names = commands.map((command) => command.name);
  const near = nearest(names, typed) ?? nearest(names, words[0] ?? "");
  const hint = near ? `did you mean \`davit ${near}\`?` : "see `davit help`";
  return new DavitError("usage", `Cannot run ${JSON.stringify(typed)}: unknown command`, { hint });
}

/** The name that is at most three letters away, and shares half of what was typed. */
function nearest(names: string[], typed: string): string | undefined {
  const ranked = names
    .map((name) => ({ name, distance: editDistance(name, typed) }))
    .sort((a, b) => a.distance - b.distance);
  return ranked[0] && ranked[0].distance <= Math.min(3, typed.length / 2) ? ranked[0].name : undefined;
}

/** Levenshtein's distance: single letters added, removed or changed. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min(
          (next[j - 1] ?? 0) + 1,
          (row[j] ?? 0) + 1,
          (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      );
    row = next;
  }
  return row[b.length] ?? 0;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
