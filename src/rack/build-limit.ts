import { milliseconds } from "../duration.ts";
import { DavitError } from "../errors.ts";
import { effectiveParams } from "./params.ts";
import type { Settings } from "./settings.ts";

/** The longest that a timer runs, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** Aborts when a build has run for as long as the rack's BuildTimeout: a build that never ends would keep others waiting. */
export async function buildLimit(settings: Settings): Promise<Disposable & { signal: AbortSignal }> {
  const { BuildTimeout = "" } = await effectiveParams(settings);
  const controller = new AbortController();
  const time = Math.min(milliseconds(BuildTimeout), LONGEST);
  const timer = setTimeout(() => controller.abort(tooLong(BuildTimeout)), time);
  return { signal: controller.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}

function tooLong(limit: string): DavitError {
  const longer = `${2 * Number.parseInt(limit, 10)}${limit.slice(-1)}`;
  return new DavitError("build-failed", `it took longer than ${limit}`, {
    hint: `whoever runs the rack may let builds take longer: \`davit rack params set BuildTimeout=${longer}\``,
  });
}
