/** Several streams as one: whatever comes first goes first. Leaving it early ends all of them. */
export async function* merged<T>(streams: readonly AsyncIterable<T>[]): AsyncGenerator<T> {
  const sources = streams.map((stream) => stream[Symbol.asyncIterator]());
  const next = async (at: number): Promise<{ at: number; result: IteratorResult<T, unknown> }> => {
    const result = await sources[at]?.next();
    return { at, result: result ?? { done: true, value: undefined } };
  };
  const pending = new Map(sources.map((_, at) => [at, next(at)]));
  try {
    while (pending.size > 0) {
      const { at, result } = await Promise.race(pending.values());
      if (result.done) pending.delete(at);
      else {
        pending.set(at, next(at));
        yield result.value;
      }
    }
  } finally {
    for (const source of sources) void source.return?.()?.catch(() => undefined);
  }
}
