/** A seeded source of numbers from 0 up to 1. */
export type Random = () => number;

export function pick<T>(next: Random, from: readonly T[]): T {
  const found = from[Math.floor(next() * from.length)];
  if (found === undefined) throw new Error("nothing to pick from");
  return found;
}

/** How often something is repeated: mostly once, at times very often. */
function times(next: Random, length: number): number {
  const most = Math.max(1, Math.floor(200_000 / Math.max(1, length)));
  return next() < 0.85 ? 1 + Math.floor(next() * 3) : Math.floor(most ** next());
}

/** Changes a text that is good in a few places, with words of its language. */
export function mutate(next: Random, text: string, words: readonly string[]): string {
  let changed = text;
  const count = 1 + Math.floor(next() * 6);
  for (let i = 0; i < count; i++) changed = once(next, changed, words);
  return changed;
}

function once(next: Random, text: string, words: readonly string[]): string {
  const [from, to] = [next() * (text.length + 1), next() * (text.length + 1)]
    .map(Math.floor)
    .sort((a, b) => a - b);
  const word = pick(next, words);
  const way = Math.floor(next() * 6);
  if (way === 0) return text.slice(0, from) + text.slice(to);
  if (way === 1)
    return (
      text.slice(0, to) + text.slice(from, to).repeat(times(next, (to ?? 0) - (from ?? 0))) + text.slice(to)
    );
  if (way === 2)
    return text.slice(0, from) + String.fromCharCode(Math.floor(next() * 0x180)) + text.slice(from);
  if (way === 3) return text.slice(0, from) + word + text.slice((from ?? 0) + word.length);
  return text.slice(0, from) + word.repeat(times(next, word.length)) + text.slice(from);
}
