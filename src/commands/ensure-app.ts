import { hasCode } from "../errors.ts";
import type { Rack } from "../rack/rack.ts";
import type { Context } from "./command.ts";

/** A first build or import makes its app, and says so. */
export async function ensureApp(rack: Rack, app: string, context: Context): Promise<void> {
  try {
    await rack.app(app);
  } catch (error) {
    if (!hasCode(error, "not-found")) throw error;
    await rack.createApp(app).catch((failure: unknown) => {
      if (!hasCode(failure, "exists")) throw failure;
    });
    context.stderr.line(`Created app ${app} in rack ${rack.name}`);
  }
}
