import type { SwarmTask } from "../docker-api/swarm.ts";

/** Ends of tasks that are no accident any more: the next one will do no better. */
const ENDS = 3;
/** How long a task may wait for a place to run, in milliseconds. */
const WAIT = 10_000;

/** What keeps a service's tasks from getting well; undefined while there is hope. */
export function sick(tasks: readonly SwarmTask[], paused: boolean, now = Date.now()): string | undefined {
  const rejected = tasks.find(({ Status }) => Status.State === "rejected");
  if (rejected) return told(rejected);
  const ended = tasks.filter(({ Status }) => Status.State === "failed" || Status.State === "complete");
  if (ended.length >= ENDS || (paused && ended.length > 0)) return told(ended[0]);
  const stuck = tasks.find(
    ({ Status, CreatedAt }) => Status.State === "pending" && Status.Err && now - Date.parse(CreatedAt) > WAIT,
  );
  return stuck && told(stuck);
}

function told(task: SwarmTask | undefined): string {
  const { Err = "", ContainerStatus } = task?.Status ?? {};
  const text = Err.replace(/^task: /, "")
    .replace(/\s+/g, " ")
    .trim();
  if (/unhealthy/.test(text)) return "its health check failed";
  if (/^non-zero exit \(\d+\)$/.test(text)) return `it ended with exit code ${ContainerStatus?.ExitCode}`;
  if (task?.Status.State === "complete") return "it ended with exit code 0";
  return text || "it does not start";
}
