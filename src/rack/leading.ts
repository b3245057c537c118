import { ownerText, thisProcess } from "../owner.ts";
import type { Ledger } from "./ledger.ts";

/** How long a lead lasts unless it is renewed, and how often it is, in milliseconds. */
const LEAD = 60_000;
const RENEW = 15_000;

/** Does long work that one process of a rack is enough for; nothing where another is at it. Losing the lead aborts it. */
export async function whileLeading(
  { leaders }: Ledger,
  name: string,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const fence = await leaders.take(name, `${ownerText(thisProcess())}.${crypto.randomUUID()}`, LEAD);
  if (!fence) return;
  const lost = new AbortController();
  const renewal = setInterval(() => void leaders.renew(fence, LEAD).catch(() => lost.abort()), RENEW);
  try {
    await work(lost.signal);
  } finally {
    clearInterval(renewal);
    await leaders.release(fence).catch(() => undefined);
  }
}
