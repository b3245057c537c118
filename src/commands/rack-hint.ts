import { DavitError } from "../errors.ts";

/** Commands of a hint that are for no rack, say theirs already, or end in another program's words. */
const FOR_NO_RACK =
  /^(racks|init|check|help|switch|registry|registries (login|logout|check))\b| -r | --help| -- /;
const RACK = /^[\w./-]+$/;

/** The same error, whose hint's commands reach the rack that the command line named with `-r`. */
export function forRack(error: unknown, rack: string | undefined): unknown {
  if (!(error instanceof DavitError) || error.hint === undefined) return error;
  if (rack === undefined || !RACK.test(rack)) return error;
  const hint = hintFor(error.hint, rack);
  return hint === error.hint ? error : new DavitError(error.code, error.message, { cause: error, hint });
}

function hintFor(hint: string, rack: string): string {
  return hint.replace(/`davit ([^`]+)`/g, (whole: string, command: string) =>
    FOR_NO_RACK.test(`${command} `) ? whole : `\`davit ${command} -r ${rack}\``,
  );
}
