import type { Rack } from "../rack/rack.ts";
import type { Output } from "../terminal/output.ts";
import type { ProgressDisplay } from "../terminal/progress.ts";

/** A flag: `string` takes a value, `strings` may be given again, `boolean` takes none. */
export interface Flag {
  type: "string" | "strings" | "boolean";
  summary: string;
  short?: string;
}

/** One command. Its name is one word or two; it translates flags to one call, and events to the terminal. */
export interface Command {
  name: string;
  /** Positionals as shown in help: `<id>` required, `[dir]` optional, `[K=V...]` any number. */
  args?: string;
  summary: string;
  flags?: Record<string, Flag>;
  examples: string[];
  run(input: Input, context: Context): Promise<void>;
}

/** What was on the command line: exact strings, never numbers. */
export interface Input {
  args: string[];
  text(flag: string): string | undefined;
  texts(flag: string): string[];
  on(flag: string): boolean;
}

/** What a command may touch: everything outside of it comes from here. */
export interface Context {
  env: Record<string, string | undefined>;
  cwd: string;
  stdout: Output;
  stderr: Output;
  progress: ProgressDisplay;
  signal: AbortSignal;
  /** Writes a warning to stderr; each text only once. */
  warn(text: string): void;
  /** 0, unless another program's is to be ours. */
  exitCode: number;
  now(): Date;
  /** The rack that `-r`, the environment or a setting names. Closed after the command. */
  rack(): Promise<Rack>;
  rackName(): Promise<string>;
  /** The app that `-a`, a setting or the directory names. */
  appName(positional?: string): Promise<string>;
}
