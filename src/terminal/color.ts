import { Shown, shown, visible } from "./shown.ts";

/** What is coloured: a word that went well or wrong, and what only labels. Nothing means anything by colour alone. */
export interface Paint {
  good(text: string): Shown;
  bad(text: string): Shown;
  label(text: string): Shown;
}

const same = (text: string): Shown => shown`${text}`;
export const PLAIN: Paint = { good: same, bad: same, label: same };

type Env = Record<string, string | undefined>;

/** Colours for an output, or none: off a terminal, with `NO_COLOR`, `--no-color` or a dumb terminal. */
export async function paintFor(isTerminal: boolean, env: Env, off: boolean): Promise<Paint> {
  if (off || !isTerminal || env["NO_COLOR"] || env["TERM"] === "dumb") return PLAIN;
  const { $, green, red, gray } = await import("kleur/colors");
  $.enabled = true;
  const painted = (paint: (text: string) => string) => (text: string) => Shown.trusted(paint(visible(text)));
  return { good: painted(green), bad: painted(red), label: painted(gray) };
}
