import type { Context, Flag, Input } from "./command.ts";
import { ensureApp } from "./ensure-app.ts";
import { promote } from "./promote.ts";
import { json, step } from "./show.ts";

export const changeFlags: Record<string, Flag> = {
  id: { type: "boolean", summary: "print only the release id; the rest goes to stderr" },
  release: { type: "string", summary: "start from this release" },
  promote: { type: "boolean", short: "p", summary: "make the new release active" },
};

/** Makes a release with another env, and says which. */
export async function changeEnv(
  input: Input,
  context: Context,
  what: string,
  change: (before: Record<string, string>) => Record<string, string>,
): Promise<void> {
  const rack = await context.rack();
  const app = await context.appName();
  await ensureApp(rack, app, context);
  const { parseEnv, renderEnv } = await import("../rack/env-text.ts");
  const parent = input.text("release");
  const out = input.on("id") || input.on("json") ? context.stderr : context.stdout;
  const release = await step(out, what, async () => {
    const from = parent === undefined ? (await rack.releases(app, 1))[0] : await rack.release(app, parent);
    const env = renderEnv(change(parseEnv(from?.env ?? "")));
    return await rack.createRelease(app, { env, ...(parent === undefined ? {} : { parent }) });
  });
  out.line(`Release: ${release.id}`);
  if (input.on("promote")) await promote(rack, app, release.id, out, context);
  if (input.on("id")) context.stdout.print(release.id);
  else if (input.on("json")) json(context, release);
}
