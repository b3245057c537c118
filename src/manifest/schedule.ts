import { DavitError } from "../errors.ts";

/** When something runs, as sets of numbers: bit N of a set stands for N. */
export interface Schedule {
  minutes: bigint;
  hours: bigint;
  days: bigint;
  months: bigint;
  /** 0 is Sunday. */
  weekdays: bigint;
  /** Whether a day of the month is enough, or a day of the week: so it is where both are named. */
  eitherDay: boolean;
}

interface Field {
  name: string;
  from: number;
  to: number;
  words?: readonly string[];
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS = {
  minutes: { name: "minute", from: 0, to: 59 },
  hours: { name: "hour", from: 0, to: 23 },
  days: { name: "day", from: 1, to: 31 },
  months: { name: "month", from: 1, to: 12, words: ["", ...MONTHS] },
  // Sunday may be 7, too.
  weekdays: { name: "weekday", from: 0, to: 7, words: WEEKDAYS },
} as const;

const NAMED: Record<string, string> = {
  "@hourly": "0 * * * *",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@weekly": "0 0 * * 0",
  "@monthly": "0 0 1 * *",
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
};

/** A longer schedule is refused, in characters: one that lists every minute by itself has 400. */
const MAX_LENGTH = 1000;

/** Reads what crontab(5) says a time is, five fields; `?` is `*`. */
export function parseSchedule(text: string): Schedule {
  if (text.length > MAX_LENGTH) throw unreadable(text.slice(0, 50), "it is too long");
  const fields = (NAMED[text.trim().toLowerCase()] ?? text).trim().split(/\s+/);
  const [minute = "", hour = "", day = "", month = "", weekday = ""] = fields;
  if (fields.length !== 5) throw unreadable(text, "it has not five fields");
  const read = (field: Field, part: string): bigint => setOf(field, part.toLowerCase(), text);
  const weekdays = read(FIELDS.weekdays, weekday);
  return {
    minutes: read(FIELDS.minutes, minute),
    hours: read(FIELDS.hours, hour),
    days: read(FIELDS.days, day),
    months: read(FIELDS.months, month),
    weekdays: (weekdays | (weekdays >> 7n)) & 0x7fn,
    eitherDay: !isAny(day) && !isAny(weekday),
  };
}

/** Whether it names no day in particular. */
function isAny(field: string): boolean {
  return field.startsWith("*") || field.startsWith("?");
}

function setOf(field: Field, text: string, whole: string): bigint {
  let set = 0n;
  for (const part of text.split(",")) {
    const [range = "", step = "1", more] = part.split("/");
    const [first, last] = rangeOf(field, range, part.includes("/"));
    const stride = /^\d{1,4}$/.test(step) ? Number(step) : 0;
    if (first === undefined || last === undefined || first > last || stride < 1 || more !== undefined)
      throw unreadable(whole, `${JSON.stringify(part)} is no ${field.name}`);
    for (let at = first; at <= last; at += stride) set |= 1n << BigInt(at);
  }
  return set;
}

/** `5/10` is from 5 on. */
function rangeOf(field: Field, range: string, hasStep: boolean): [number | undefined, number | undefined] {
  if (range === "*" || range === "?") return [field.from, field.to];
  const [from = "", to] = range.split(/-(.*)/s);
  const first = numberOf(field, from);
  if (to !== undefined) return [first, numberOf(field, to)];
  return [first, hasStep ? field.to : first];
}

function numberOf({ from, to, words = [] }: Field, text: string): number | undefined {
  const word = text === "" ? -1 : words.indexOf(text);
  const number = word >= 0 ? word : /^\d{1,2}$/.test(text) ? Number(text) : -1;
  return number >= from && number <= to ? number : undefined;
}

function unreadable(text: string, why: string): DavitError {
  return new DavitError("invalid", `Cannot read the schedule ${JSON.stringify(text)}: ${why}`, {
    hint: "it is five fields as cron has them, in UTC: minute, hour, day, month, weekday",
  });
}
