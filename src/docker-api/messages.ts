import { type Bytes, lines } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";
import { checkJson, type Static, Type } from "../schema.ts";

/**
 * One line of the stream that build, push, pull and load answer with. The HTTP
 * status is 200 long before the work is done, so failure is a line too.
 */
export const EngineLine = Type.Object({
  stream: Type.Optional(Type.String()),
  status: Type.Optional(Type.String()),
  id: Type.Optional(Type.String()),
  aux: Type.Optional(Type.Unknown()),
  error: Type.Optional(Type.String()),
  errorDetail: Type.Optional(Type.Object({ message: Type.Optional(Type.String()) })),
  progressDetail: Type.Optional(Type.Unknown()),
});
export type EngineLine = Static<typeof EngineLine>;

/**
 * Reads the stream line by line; a line that reports an error ends it with that
 * error. A failed build is told in the engine's words alone: they say what failed.
 */
export async function* engineLines(response: Response, doing: string): AsyncGenerator<EngineLine> {
  const body: ReadableStream<Bytes> | null = response.body;
  if (!body) throw new DavitError("engine", `Cannot ${doing}: the engine sent an empty answer`);
  try {
    for await (const line of lines(body)) {
      if (line.trim() === "") continue;
      const message = checkJson(EngineLine, line, `the engine's progress`, "engine");
      const failure = message.errorDetail?.message ?? message.error;
      if (failure !== undefined)
        throw doing === "build"
          ? new DavitError("build-failed", failure.trim())
          : new DavitError("engine", `Cannot ${doing}: ${failure.trim()}`);
      yield message;
    }
  } catch (error) {
    if (error instanceof DavitError) throw error;
    if (error instanceof Error && error.name === "AbortError")
      throw new DavitError("interrupted", "Interrupted", { cause: error });
    throw new DavitError("engine", `Cannot ${doing}: the engine's answer broke off (${reasonOf(error)})`, {
      cause: error,
      hint: "see whether the engine is still running, and try again",
    });
  }
}
