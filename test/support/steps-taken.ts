import { Scanner } from "../../src/scanner.ts";

/*
 * Steps, not seconds: characters that scanners look at, and for what strings, lists and expressions
 * do by themselves the characters or items that they go over.
 */

type Method = (this: unknown, ...args: unknown[]) => unknown;

let native = 0;

function sizeOf(value: unknown): number {
  return typeof value === "string" || Array.isArray(value) ? value.length : 1;
}

/** All of what it is called on. */
const whole = (self: unknown): number => sizeOf(self);
/** What comes out of it. */
const result = (_: unknown, out: unknown): number => sizeOf(out);
/** From where it begins to where it finds something, or to the end. */
function distance(self: unknown, out: unknown, [, from]: unknown[]): number {
  const start = typeof from === "number" ? from : 0;
  return (
    1 + (typeof out === "number" && out >= 0 ? Math.abs(out - start) : Math.max(0, sizeOf(self) - start))
  );
}
/** What is compared. */
const needle = (_self: unknown, _out: unknown, [text]: unknown[]): number => sizeOf(text);
/** From where the expression begins to look to the end of what it finds. */
function matched(self: unknown, out: unknown, [text]: unknown[], from: number): number {
  if (Array.isArray(out) && "index" in out) return 1 + Number(out.index) - from + sizeOf(out[0]);
  // A sticky one looks at one place.
  return self instanceof RegExp && self.sticky ? 1 : 1 + sizeOf(text) - from;
}

type Cost = (self: unknown, out: unknown, args: unknown[], from: number) => number;

const STRINGS: Record<string, Cost> = {
  ...{ slice: result, substring: result, trim: whole, trimStart: whole, trimEnd: whole, split: whole },
  ...{ replace: whole, replaceAll: whole, toLowerCase: whole, toUpperCase: whole, codePointAt: () => 1 },
  ...{ indexOf: distance, includes: whole, startsWith: needle, endsWith: needle, charCodeAt: () => 1 },
};
const LISTS: Record<string, Cost> = {
  ...{ slice: result, concat: result, join: whole, includes: whole, indexOf: whole, splice: result },
  ...{ some: whole, filter: whole, map: whole, findIndex: whole, reverse: whole, shift: () => 1 },
};

function patch(prototype: object, costs: Record<string, Cost>): () => void {
  const undo = Object.entries(costs).map(([name, cost]) => {
    const original: unknown = Reflect.get(prototype, name);
    const counted: Method = function (...args) {
      const from = this instanceof RegExp && (this.global || this.sticky) ? this.lastIndex : 0;
      const out: unknown = typeof original === "function" ? Reflect.apply(original, this, args) : undefined;
      native += cost(this, out, args, from);
      return out;
    };
    Object.defineProperty(prototype, name, { value: counted, configurable: true, writable: true });
    return () =>
      Object.defineProperty(prototype, name, { value: original, configurable: true, writable: true });
  });
  return () => {
    for (const one of undo) one();
  };
}

/** How many steps some work takes; errors that it throws are ignored. */
export function stepsOf(work: () => unknown): number {
  const before = Scanner.steps;
  native = 0;
  const undo = [
    patch(String.prototype, STRINGS),
    patch(Array.prototype, LISTS),
    patch(RegExp.prototype, { exec: matched }),
  ];
  try {
    work();
  } catch {
    // A parser may refuse; it must do so soon.
  } finally {
    for (const one of undo) one();
  }
  return Scanner.steps - before + native;
}
