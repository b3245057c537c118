import type { EngineSwarm, Labels, SwarmTask } from "../docker-api/swarm.ts";
import { INSIDE_SERVICE } from "./inside/service.ts";
import { merged } from "./merge.ts";
import type { AppLogOptions } from "./runtime.ts";
import { SERVICE } from "./service-spec.ts";
import { processId, processOf, serviceOf } from "./tasks.ts";

/** Between looks for what is new, in milliseconds. */
const POLL = 1000;

interface Line {
  /** Whose it is; undefined for the rack's own. */
  process: string | undefined;
  text: string;
}

/** What an app's processes write, and what becomes of them; services that come later are followed too. */
export async function* appLog(
  swarm: EngineSwarm,
  labels: Labels,
  options: AppLogOptions,
): AsyncGenerator<string> {
  const { process } = options;
  for await (const line of merged(sources(swarm, labels, options)))
    if (process === undefined || line.process === process) yield line.text;
}

async function* sources(
  swarm: EngineSwarm,
  labels: Labels,
  options: AppLogOptions,
): AsyncGenerator<AsyncIterable<Line>> {
  const { service, process, follow, signal } = options;
  if (service === undefined && process === undefined) yield states(swarm, labels, options);
  const known = new Set<string>();
  let wanted = { since: options.since, tail: options.tail };
  do {
    for (const { ID, Spec } of await swarm.services(labels)) {
      const name = Spec.Labels?.[SERVICE] ?? "";
      if (known.has(ID) || (service !== undefined && name !== service)) continue;
      yield named(name, swarm.serviceLog(ID, { follow, signal, ...wanted }));
      known.add(ID);
    }
    // Of what comes later all lines are.
    wanted = { since: options.since, tail: undefined };
  } while (follow && (await stillWanted(signal)));
}

async function stillWanted(signal: AbortSignal): Promise<boolean> {
  if (!signal.aborted) await Bun.sleep(POLL);
  return !signal.aborted;
}

/** Swarm's words of a line become ours: `TIME service/NAME/PROCESS TEXT`. */
async function* named(service: string, log: AsyncIterable<string>): AsyncGenerator<Line> {
  for await (const text of log) {
    const [, time = "", task = "", line = ""] =
      /^(\S+) \S*com\.docker\.swarm\.task\.id=(\w+)\S* ?(.*)/s.exec(text) ?? [];
    const process = processId(service, task);
    if (time !== "") yield { process, text: `${time} service/${service}/${process} ${line}` };
  }
}

/** `TIME system/NAME/PROCESS STATE`, and why where there is something to say. Who wants the last lines means others. */
async function* states(
  swarm: EngineSwarm,
  labels: Labels,
  { follow, since, tail, signal }: AppLogOptions,
): AsyncGenerator<Line> {
  const told = new Set<string>();
  for (let first = true; ; first = false) {
    const tasks = (await swarm.tasks(labels)).filter(isTold);
    for (const task of tasks.sort((a, b) => timeOf(a) - timeOf(b))) {
      const key = `${task.ID} ${task.Status.State}`;
      if (told.has(key)) continue;
      told.add(key);
      const past = first && (tail !== undefined || timeOf(task) < (since?.getTime() ?? 0));
      if (!past) yield { process: undefined, text: stateLine(task) };
    }
    if (!follow || !(await stillWanted(signal))) return;
  }
}

/** What Swarm wants of tasks on their way is nobody's business. */
const TOLD = ["starting", "running", "complete", "shutdown", "failed", "rejected"];

function isTold(task: SwarmTask): boolean {
  return TOLD.includes(task.Status.State) && serviceOf(task) !== INSIDE_SERVICE;
}

function stateLine(task: SwarmTask): string {
  const { id, service, release } = processOf(task);
  const { State, Timestamp = "", Err = "" } = task.Status;
  const why = Err.replaceAll(/\s+/g, " ").trim();
  const of = release === "" ? "" : ` ${release}`;
  return `${Timestamp} system/${service}/${id} ${State}${of}${why === "" ? "" : `: ${why}`}`;
}

function timeOf({ Status }: SwarmTask): number {
  return Date.parse(Status.Timestamp ?? "") || 0;
}
