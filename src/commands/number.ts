import { DavitError } from "../errors.ts";
import type { Input } from "./command.ts";

/** A flag's whole number under its name, or nothing where it was not given. */
export function numberOf(input: Input, flag: string): Record<string, number> {
  const text = input.text(flag);
  if (text === undefined) return {};
  if (/^\d{1,7}$/.test(text)) return { [flag]: Number(text) };
  throw new DavitError("usage", `Cannot use --${flag} ${JSON.stringify(text)}: it is not a number`);
}
