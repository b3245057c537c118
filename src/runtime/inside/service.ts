import type { RunningService } from "../runtime.ts";
import { INSIDE } from "./volume.ts";

/** What it is called among services; no service of convox.yml can be. */
export const INSIDE_SERVICE = "davit_inside";
/** A time that never is. */
const NEVER = "0:0:0:0:0:0";

/** On each node a process that does nothing: its image fills that node's volume with our programs. */
export function insideService(image: Pick<RunningService, "image" | "login">): RunningService {
  return {
    ...image,
    env: {},
    lasting: true,
    service: {
      ...{ name: INSIDE_SERVICE, build: undefined, image: undefined, environment: [], line: 0 },
      ...{ command: `${INSIDE}/timer ${NEVER} none`, entrypoint: "", port: "" },
      running: {
        ...{ agent: true, internal: true, singleton: true, init: true, privileged: false },
        ...{ domains: [], ports: [], resources: [], volumes: [] },
        health: { path: "/", grace: 0, interval: 1, timeout: 1, disabled: true },
        scale: { min: 1, max: 1, cpu: 0, memory: 0 },
        deployment: { minimum: 0, maximum: 100 },
        grace: 1,
      },
    },
  };
}
