/** What is coloured: a word that went well or wrong, and what only labels. Nothing means anything by colour alone. */
export interface Paint {
  good(text: string): string;
  bad(text: string): string;
  label(text: string): string;
}

const same = (text: string): string => text;
export const PLAIN: Paint = { good: same, bad: same, label: same };

type Env = Record<string, string | undefined>;

/** Colours for an output, or none: off a terminal, with `NO_COLOR`, `--no-color` or a dumb terminal. */
export async function paintFor(isTerminal: boolean, env: Env, off: boolean): Promise<Paint> {
  if (off || !isTerminal || env["NO_COLOR"] || env["TERM"] === "dumb") return PLAIN;
  const { $, green, red, gray } = await import("kleur/colors");
  $.enabled = true;
  return { good: (text) => green(text), bad: (text) => red(text), label: (text) => gray(text) };
}
