type Came<T> =
  | { stream: IteratorResult<AsyncIterable<T>> }
  | { source: AsyncIterator<T>; item: IteratorResult<T> };

/** Several streams as one: whatever comes first goes first. They may come one after the other; leaving early ends all of them. */
export async function* merged<T>(streams: AsyncIterable<AsyncIterable<T>>): AsyncGenerator<T> {
  const outer = streams[Symbol.asyncIterator]();
  const more = async (): Promise<Came<T>> => ({ stream: await outer.next() });
  const next = async (source: AsyncIterator<T>): Promise<Came<T>> => ({ source, item: await source.next() });
  const pending = new Map<AsyncIterator<T>, Promise<Came<T>>>();
  let coming: Promise<Came<T>> | undefined = more();
  try {
    while (coming || pending.size > 0) {
      const came: Came<T> = await Promise.race([...(coming ? [coming] : []), ...pending.values()]);
      if ("stream" in came) {
        const source: AsyncIterator<T> | undefined = came.stream.done
          ? undefined
          : came.stream.value[Symbol.asyncIterator]();
        if (source) pending.set(source, next(source));
        coming = source && more();
      } else if (came.item.done) pending.delete(came.source);
      else {
        pending.set(came.source, next(came.source));
        yield came.item.value;
      }
    }
  } finally {
    for (const left of [coming, ...pending.values()]) left?.catch(() => undefined);
    for (const source of [outer, ...pending.keys()]) void source.return?.()?.catch(() => undefined);
  }
}
