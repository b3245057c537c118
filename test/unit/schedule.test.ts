import { expect, test } from "bun:test";
import { parseSchedule } from "../../src/manifest/schedule.ts";

/* When timers run. */

function numbers(set: bigint): number[] {
  return Array.from({ length: 64 }, (_, number) => number).filter((number) => (set >> BigInt(number)) & 1n);
}

function read(text: string) {
  const { minutes, hours, days, months, weekdays, eitherDay } = parseSchedule(text);
  const sets = { minutes, hours, days, months, weekdays };
  const said = Object.entries(sets).map(([name, set]) => [name, numbers(set)] as const);
  const all = { minutes: 60, hours: 24, days: 31, months: 12, weekdays: 7 };
  const some = said.filter(([name, set]) => set.length < all[name as keyof typeof all]);
  return { ...Object.fromEntries(some), ...(eitherDay ? { eitherDay } : {}) };
}

const readable: [string, object][] = [
  ["* * * * ?", {}],
  ["0 3 * * ?", { minutes: [0], hours: [3] }],
  ["*/20 1-3,5 * * *", { minutes: [0, 20, 40], hours: [1, 2, 3, 5] }],
  ["5/25 * * * *", { minutes: [5, 30, 55] }],
  ["0 0 1-31/10 JAN,jul *", { minutes: [0], hours: [0], days: [1, 11, 21, 31], months: [1, 7] }],
  ["0 0 * * 7", { minutes: [0], hours: [0], weekdays: [0] }],
  ["0 0 13 * mon-fri", { minutes: [0], hours: [0], days: [13], weekdays: [1, 2, 3, 4, 5], eitherDay: true }],
  ["@weekly", { minutes: [0], hours: [0], weekdays: [0] }],
];
test.each(readable)("schedule %p is understood", (text, expected) => {
  expect(read(text)).toEqual(expected);
});

test.each([
  "",
  "* * * *",
  "* * * * * *",
  "60 * * * *",
  "* * 0 * *",
  "1-0 * * * *",
  "*/0 * * * *",
  "a * * * *",
  "1,,2 * * * *",
  "@never",
])("schedule %p is refused", (text) =>
  expect(() => parseSchedule(text)).toThrow(/^Cannot read the schedule /),
);
