import type { Pair, YAMLMap } from "yaml";
import type { YamlReader } from "./yaml-reader.ts";

/** A command that runs by the clock: https://docs.convox.com/reference/primitives/app/timer/ */
export interface Timer {
  name: string;
  command: string;
  /** Five fields, as cron has them; UTC. */
  schedule: string;
  /** Whose image and environment it has. */
  service: string;
  /** `forbid` or nothing: what racks do about a run that is not over when the next is due differs. */
  concurrency: string;
  line: number;
}

/** The name of a timer's service. */
export function timerName(name: string): string {
  return `timer-${name}`;
}

export function readTimers(reader: YamlReader, root: YAMLMap): Timer[] {
  return (reader.map(root, "timers")?.items ?? []).map((pair) => readTimer(reader, pair));
}

function readTimer(reader: YamlReader, { key, value }: Pair): Timer {
  const map = reader.asMap(reader.resolve(value));
  return {
    name: reader.key(key),
    command: reader.text(map, "command") ?? "",
    schedule: reader.text(map, "schedule") ?? "",
    service: reader.text(map, "service") ?? "",
    concurrency: (reader.text(map, "concurrency") ?? "").toLowerCase(),
    line: reader.line(key),
  };
}
