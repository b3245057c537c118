import { DavitError } from "./errors.ts";
import { isDigit, isWord, Scanner } from "./scanner.ts";

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time such as `90s`, `1h30m`, in milliseconds; a number alone is seconds. */
export function milliseconds(text: string): number {
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const scanner = new Scanner(text);
  let sum = 0;
  do {
    const count = readCount(scanner);
    const unit = UNITS[scanner.take((code) => isWord(code) && !isDigit(code))];
    if (count === undefined || unit === undefined)
      throw new DavitError(
        "usage",
        `Cannot use ${JSON.stringify(text.slice(0, 50))} as a time: it is not like 90s or 1h30m`,
      );
    sum += count * unit;
  } while (!scanner.done);
  return sum;
}

function readCount(scanner: Scanner): number | undefined {
  const whole = scanner.take(isDigit);
  const fraction = scanner.eat(".") ? scanner.take(isDigit) : "0";
  return whole === "" || fraction === "" ? undefined : Number(`${whole}.${fraction}`);
}
