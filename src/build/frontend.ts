import { DavitError } from "../errors.ts";

/** Images of docker's own frontend, in any version. */
const DOCKERS_OWN = /^(docker\.io\/)?docker\/dockerfile(-upstream)?(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?$/;
/** The build arg that stands for a `# syntax=` line. */
const SYNTAX_ARG = "BUILDKIT_SYNTAX";

/**
 * Throws `denied` for a Dockerfile that names another frontend than docker's own. Such a program may
 * tell the engine anything: to use its images by name, or to believe a layer cache of its own.
 */
export function requireOwnFrontend(text: string, args: readonly string[], where: string): void {
  if (args.includes(SYNTAX_ARG)) throw refused(where, `build arg ${SYNTAX_ARG}`);
  const [first = "", ...others] = text.split("\n");
  // A byte order mark is white space, too.
  const opening = (first.startsWith("#!") ? others : [first, ...others]).find((line) => line.trim() !== "");
  if (opening?.trimStart().startsWith("{")) throw refused(where, "JSON");
  for (const line of [first, ...others]) {
    const named = syntaxOf(line);
    if (named !== undefined && !DOCKERS_OWN.test(named))
      throw refused(where, JSON.stringify(named.slice(0, 100)));
  }
}

/** The frontend that a line names, wherever it stands: versions of BuildKit differ in how many lines they read for it. */
function syntaxOf(line: string): string | undefined {
  const start = line.trimStart();
  const mark = start.startsWith("#") ? 1 : start.startsWith("//") ? 2 : 0;
  const rest = start.slice(mark).trimStart();
  if (mark === 0 || rest.slice(0, 6).toLowerCase() !== "syntax") return undefined;
  const after = rest.slice(6).trimStart();
  return after.startsWith("=") ? after.slice(1).trim() : undefined;
}

function refused(where: string, what: string): DavitError {
  return new DavitError("denied", `Cannot build ${where}: ${what} is no frontend of docker's own`, {
    hint: "write `# syntax=docker/dockerfile:1`, or build with --external",
  });
}
