import type { Bytes } from "../../bytes.ts";
import { milliseconds } from "../../duration.ts";
import type { Process } from "../../rack/running.ts";
import { json, ok, problem } from "../answer.ts";
import { type RackCall, type Route, route, socket } from "../route.ts";
import { silent } from "./system.ts";

/** What runs of each app. */
export const runtime: readonly Route[] = [
  route("GET /apps/$app/processes", processes, { deploy: true }),
  route(
    "GET /apps/$app/processes/$pid",
    async ({ rack, params: { app = "", pid = "" } }) => {
      const found = (await rack.running.processes(app)).find(({ id }) => id === pid);
      return found ? json(wireOf(found)) : problem(404, `no such process: ${pid}`);
    },
    { deploy: true },
  ),
  route("DELETE /apps/$app/processes/$pid", async ({ rack, params: { app = "", pid = "" } }) => {
    await rack.running.stop(app, pid);
    return ok();
  }),
  route("GET /apps/$app/services", services, { deploy: true }),
  route("PUT /apps/$app/services/$service", async ({ rack, form, params: { app = "", service = "" } }) => {
    const [count, cpu, memory] = [form.int("count"), form.int("cpu"), form.int("memory")];
    await rack.running.scale(app, service, {
      ...(count === undefined ? {} : { count }),
      ...(cpu === undefined ? {} : { cpu }),
      ...(memory === undefined ? {} : { memory }),
    });
    return ok();
  }),
  route("POST /apps/$app/services/$service/restart", async ({ rack, params: { app = "", service = "" } }) => {
    await rack.running.restart(app, service);
    return ok();
  }),
  route(
    "POST /apps/$app/services/$service/processes",
    withApp(async () => problem(501, "this rack runs no processes")),
  ),
  socket("/apps/$app/logs", appLog),
  socket("/apps/$app/services/$service/logs", appLog),
  socket("/apps/$app/processes/$pid/logs", appLog),
];

function withApp(run: Route["run"]): Route["run"] {
  return async (call) => {
    await call.rack.app(call.params["app"] ?? "");
    return await run(call);
  };
}

async function processes({ rack, form, params: { app = "" } }: RackCall): Promise<Response> {
  const [release, service] = [form.text("release"), form.text("service")];
  const all = await rack.running.processes(app);
  const found = all.filter(
    (one) => (!release || one.release === release) && (!service || one.service === service),
  );
  return json(found.map(wireOf));
}

/** With all the fields that the original's clients look for. */
function wireOf(process: Process): object {
  const rest = { cpu: 0, gpu: 0, host: "", image: "", instance: "", memory: 0, ports: [] };
  return { ...rest, ...process, name: process.service };
}

/** With all the fields that the original's clients look for. */
async function services({ rack, params: { app = "" } }: RackCall): Promise<Response> {
  const rest = { gpu: 0, "gpu-vendor": "", nlb: [] };
  const found = await rack.running.services(app);
  return json(
    found.map(({ ports, ...service }) => ({
      ...{ ...service, ...rest },
      ports: ports.map((container) => ({ balancer: 443, certificate: "", container })),
    })),
  );
}

/** What headers ask for; as the original, it follows, and begins two minutes back. */
async function* appLog({ rack, request, params }: RackCall, signal: AbortSignal): AsyncGenerator<Bytes> {
  const { app = "", service, pid } = params;
  const header = (name: string): string | undefined => request.headers.get(name) ?? undefined;
  const tail = Number(header("tail") ?? 0);
  yield* rack.running.logs(app, {
    ...{ service, process: pid, signal, filter: header("filter") },
    follow: header("follow") !== "false",
    since: milliseconds(header("since") ?? "2m"),
    ...(tail > 0 ? { tail } : {}),
  });
  // A reader of an app of which nothing runs waits for what may come.
  if (header("follow") !== "false") yield* silent(undefined, signal);
}
