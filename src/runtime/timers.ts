import { DavitError } from "../errors.ts";
import { parseSchedule } from "../manifest/schedule.ts";
import { type Timer, timerName } from "../manifest/timers.ts";
import { INSIDE } from "./inside/volume.ts";
import type { RunningService } from "./runtime.ts";

/**
 * A timer as a service of its app: a process that waits for its time and then becomes the
 * command. What ends is followed by another that waits, in a new container, so two never
 * run at once, and nothing of ours need run beside the engine.
 */
export function timerService(
  { name, command, schedule, concurrency }: Timer,
  base: RunningService,
): RunningService {
  if (concurrency !== "" && concurrency !== "forbid")
    throw new DavitError(
      "unsupported",
      `this rack does not run timer ${name}: its concurrency is ${concurrency}`,
      {
        hint: "timers here run once at a time: `concurrency: forbid`",
      },
    );
  const words = command === "" ? base.service.command : command;
  if (words === "") throw new DavitError("invalid", `timer ${name} has no command`);
  const { minutes, hours, days, months, weekdays, eitherDay } = parseSchedule(schedule);
  const sets = [minutes, hours, days, months, weekdays, BigInt(eitherDay)].map((set) => set.toString(16));
  const service = {
    ...base.service,
    name: timerName(name),
    command: words,
    port: "",
    running: {
      ...base.service.running,
      ...{ agent: false, internal: true, singleton: true, init: true },
      ...{ domains: [], ports: [], volumes: [] },
      scale: { ...base.service.running.scale, min: 1, max: 1 },
    },
  };
  const env = { ...base.env, SERVICE: service.name };
  return { ...base, service, env, before: [`${INSIDE}/timer`, sets.join(":")] };
}
