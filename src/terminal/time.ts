const ZERO = "0001-01-01";

/** Convox's words: `now`, `1 second ago`, `3 hours ago`, `2 weeks ago`; "" for a time not yet set. */
export function ago(time: string, now: Date): string {
  if (time === "" || time.startsWith(ZERO)) return "";
  const seconds = Math.round((now.getTime() - Date.parse(time)) / 1000);
  if (seconds === 0) return "now";
  return `${span(Math.abs(seconds))} ${seconds > 0 ? "ago" : "from now"}`;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
const MONTH = 30 * DAY;
const YEAR = 12 * MONTH;

function span(seconds: number): string {
  if (seconds < MINUTE) return count(seconds, "second");
  if (seconds < HOUR) return count(Math.floor(seconds / MINUTE), "minute");
  if (seconds < DAY) return count(Math.floor(seconds / HOUR), "hour");
  if (seconds < WEEK) return count(Math.floor(seconds / DAY), "day");
  if (seconds < MONTH) return count(Math.floor(seconds / WEEK), "week");
  if (seconds < YEAR) return count(Math.floor(seconds / MONTH), "month");
  if (seconds < 1.5 * YEAR) return "1 year";
  if (seconds < 2 * YEAR) return "2 years";
  return count(Math.floor(seconds / YEAR), "year");
}

function count(number: number, unit: string): string {
  return number === 1 ? `1 ${unit}` : `${number} ${unit}s`;
}

/** Whole seconds between two times: `25s`, `2m46s`; minutes never become hours; "" while the end is open. */
export function elapsed(started: string, ended: string): string {
  if (ended === "" || ended.startsWith(ZERO)) return "";
  const seconds = Math.round((Date.parse(ended) - Date.parse(started)) / 1000);
  return seconds < MINUTE ? `${seconds}s` : `${Math.floor(seconds / MINUTE)}m${seconds % MINUTE}s`;
}

/** Bytes in decimal units, as docker prints them. */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = count / 1000;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}
