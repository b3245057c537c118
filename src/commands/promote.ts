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
  force = false,
): Promise<void> {
  if (id === "") throw new DavitError("conflict", "no release to promote");
  if ((await rack.app(app)).status === "updating") await untilReady(rack, app, out, context, force);
  try {
    await step(out, `Promoting ${id}`, async () => {
      await rack.promote(app, id, { signal: context.signal });
      const warning = await settled(rack, app, id, context.signal);
      if (warning !== undefined) context.warn(warning);
    });
  } catch (error) {
    throw apart(error, context.stderr);
  }
}

/** An error is one line: what a failing process wrote last comes before it. */
function apart(error: unknown, stderr: Output): unknown {
  if (!(error instanceof DavitError)) return error;
  const [message = "", ...lines] = error.message.split("\n");
  if (lines.length === 0) return error;
  for (const line of lines) stderr.line(line);
  const { code, cause, hint } = error;
  return new DavitError(code, message.replace(/; its last lines:$/, ""), {
    cause,
    ...(hint ? { hint } : {}),
  });
}

/** One promotion of an app at a time; by force the one that is on its way goes back. */
async function untilReady(
  rack: Rack,
  app: string,
  out: Output,
  { signal }: Context,
  force: boolean,
): Promise<void> {
  await step(out, "Waiting for app to be ready", async () => {
    if (force) await rack.cancel(app).catch(() => undefined);
    for (const end = performance.now() + LONGEST; performance.now() < end; await Bun.sleep(POLL)) {
      signal.throwIfAborted();
      if ((await rack.app(app)).status === "running") return;
    }
    throw new DavitError("conflict", `app ${app} is not running after 35 minutes`);
  });
}

/** Waits until the release is the active one. Returns the problem that the app has nevertheless, if any. */
async function settled(
  rack: Rack,
  app: string,
  id: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  for (const end = performance.now() + LONGEST; performance.now() < end; await Bun.sleep(POLL)) {
    signal.throwIfAborted();
    const { status, release, problem } = await rack.app(app);
    if (status === "running" && release === id) return problem;
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
