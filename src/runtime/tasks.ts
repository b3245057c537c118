import type { SwarmTask } from "../docker-api/swarm.ts";
import type { Process } from "./runtime.ts";
import { APP, RELEASE, SERVICE } from "./service-spec.ts";

export function labelsOf({ Spec }: SwarmTask): Record<string, string> {
  return Spec.ContainerSpec?.Labels ?? {};
}

export function serviceOf(task: SwarmTask): string {
  return labelsOf(task)[SERVICE] ?? "";
}

/** What a process is called: its service, and the first characters of the task's or container's id. */
export function processId(service: string, task: string): string {
  return `${service}-${task.slice(0, 12)}`;
}

/** A task as `ps` shows it. */
export function processOf(task: SwarmTask): Process {
  const labels = labelsOf(task);
  const { [APP]: app = "", [SERVICE]: service = "", [RELEASE]: release = "" } = labels;
  return {
    ...{ id: processId(service, task.ID), app, service, release },
    ...{ status: statusOf(task), started: task.CreatedAt },
    command: (task.Spec.ContainerSpec?.Args ?? []).join(" "),
  };
}

/** In the original's words. */
function statusOf({ Status: { State } }: SwarmTask): string {
  if (["new", "pending", "assigned", "accepted", "preparing", "ready", "starting"].includes(State))
    return "pending";
  return State === "rejected" ? "failed" : State;
}
