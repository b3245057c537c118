import { DavitError } from "../errors.ts";
import type { Rack } from "../rack/rack.ts";
import type { Output } from "../terminal/output.ts";
import type { Context } from "./command.ts";
import { step } from "./show.ts";

/** Between looks at the app, in milliseconds, and how long a promotion may take. */
const POLL = 1000;
const LONGEST = 35 * 60 * 1000;

/** Makes a release the active one, and waits until the rack says that it is. */
export async function promote(
  rack: Rack,
  app: string,
  id: string,
  out: Output,
  context: Context,
): Promise<void> {
  if (id === "") throw new DavitError("conflict", "no release to promote");
  await step(out, `Promoting ${id}`, async () => {
    await rack.promote(app, id, { signal: context.signal });
    await settled(rack, app, id, context.signal);
  });
}

async function settled(rack: Rack, app: string, id: string, signal: AbortSignal): Promise<void> {
  for (const end = performance.now() + LONGEST; performance.now() < end; await Bun.sleep(POLL)) {
    signal.throwIfAborted();
    const { status, release, problem } = await rack.app(app);
    if (status === "running" && release === id) return;
    if (status === "running" || status === "rollback")
      throw new DavitError(
        "conflict",
        problem ?? `Cannot promote ${id}: the rack went back to ${release || "what it ran before"}`,
        {
          hint: `see \`davit logs -a ${app}\``,
        },
      );
  }
  throw new DavitError("conflict", `Cannot promote ${id}: the app is not running after 35 minutes`);
}
