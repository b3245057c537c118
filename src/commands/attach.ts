import type { Attachment } from "../docker-api/attached.ts";
import type { Context } from "./command.ts";

/** Joins this process's streams with another's while that runs; its exit code becomes ours. */
export async function attach(context: Context, run: (to: Attachment) => Promise<number>): Promise<void> {
  const { stdout, stderr, signal } = context;
  const { ownStreams } = await import("../terminal/attachment.ts");
  const { end, ...streams } = ownStreams(stdout, stderr);
  try {
    context.exitCode = await run({ ...streams, signal });
  } finally {
    end();
  }
}
