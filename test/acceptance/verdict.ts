/** One line of acceptance: PASS or FAIL, what was asked, and the figure. */
export function verdict(holds: boolean, line: string, figure: string): boolean {
  process.stdout.write(`${holds ? "PASS" : "FAIL"} ${line}: ${figure}\n`);
  if (!holds) process.exitCode = 1;
  return holds;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** A small seeded generator (mulberry32), so that a run can be repeated. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The seed of this run: `SEED`, else a new one; always printed. */
export function seed(): number {
  const value = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  process.stdout.write(`seed ${value} (SEED=${value} repeats this run)\n`);
  return value;
}
