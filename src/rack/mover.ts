import { DavitError, hasCode, reasonOf } from "../errors.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import type { Member } from "./place-ledger.ts";
import type { Progress } from "./rack.ts";
import type { RackFact } from "./rack-facts.ts";

/** The fact that content has yet to move. */
export const MOVING = "moving" satisfies RackFact;
/** Members that are asked for at once. */
const PAGE = 200;

/** What a move needs of a rack. */
type MovedParts = Pick<EmbeddedParts, "ledger" | "collector" | "store">;

export interface MoveOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Brings all content to where new content goes: each blob is copied, looked for, and
 * only then read from there. Whatever is done is done for good, so a move that was
 * stopped goes on where it was. The collector deletes what it leaves in the other places.
 */
export async function moveContent(parts: MovedParts, options: MoveOptions = {}): Promise<void> {
  const { places } = parts.ledger;
  const moving = await parts.ledger.known(MOVING);
  const to = (await parts.collector.places.current()).name;
  const { bytes: total } = await places.countElsewhere(to);
  const move = async (member: Member): Promise<void> => {
    options.signal?.throwIfAborted();
    await moveOne(parts, member);
    const { bytes } = await places.countElsewhere(to);
    options.onProgress?.({ what: "Moving", done: Math.max(0, total - bytes), total });
  };
  // Manifests bring what they name, so that nothing lies about in a registry without a name for long.
  const failures = [
    ...(await eachElsewhere(parts, to, true, move)),
    ...(await eachElsewhere(parts, to, false, move)),
  ];
  await parts.ledger.duties.owe("collect");
  if (failures.length > 0)
    throw new DavitError(
      "registry",
      `Cannot move ${failures.length} of the rack's blobs: ${reasonOf(failures[0])}`,
      {
        cause: failures[0],
        hint: "what has moved stays moved; set Registry to the same value again to go on",
      },
    );
  // Where the destination has changed since, content has yet to move.
  if (moving) await parts.ledger.dropFact(MOVING, moving);
}

/** Goes through what is in other stores; one blob that cannot be moved keeps no other from it. */
async function eachElsewhere(
  { ledger }: MovedParts,
  store: string,
  manifests: boolean,
  work: (member: Member) => Promise<void>,
): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (let after: Member | undefined; ; ) {
    const page = await ledger.places.elsewhere(store, { after, manifests, limit: PAGE });
    for (const member of page)
      await work(member).catch((error: unknown) => {
        if (hasCode(error, "unavailable", "interrupted", "denied", "no-space")) throw error;
        failures.push(error);
      });
    after = page.at(-1);
    if (!after) return failures;
  }
}

/** What is deleted meanwhile need not move. */
async function moveOne(parts: MovedParts, member: Member): Promise<void> {
  const { app, descriptor } = member;
  try {
    await parts.store(app).move(member);
  } catch (error) {
    const gone = (await parts.ledger.places.storeOf(app, descriptor.digest)) === undefined;
    if (!gone) throw error;
  }
}
