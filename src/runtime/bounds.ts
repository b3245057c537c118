/** Processes and threads of one container, at most: a fork bomb ends there. */
export const MOST_PROCESSES = 4096;

/** What a container's log may take of the disk: three files of this size. */
const LOG_OPTIONS = { "max-size": "10m", "max-file": "3" };

/** Options for the engine's own log driver where it would let logs grow for ever; others have their own bounds. */
export function logBounds(driver: string): { driver: string; options: Record<string, string> } | undefined {
  return driver === "json-file" ? { driver, options: LOG_OPTIONS } : undefined;
}
