import type { Bytes } from "../../bytes.ts";
import { json, ok, problem } from "../answer.ts";
import { type RackCall, type Route, route, socket } from "../route.ts";
import { silent } from "./system.ts";

/** What runs. This rack runs nothing yet: a promoted release is the active one, and that is all. */
export const runtime: readonly Route[] = [
  route(
    "GET /apps/$app/processes",
    withApp(async () => json([])),
    { deploy: true },
  ),
  route(
    "GET /apps/$app/processes/$pid",
    withApp(async ({ params }) => noProcess(params["pid"])),
  ),
  route(
    "DELETE /apps/$app/processes/$pid",
    withApp(async ({ params }) => noProcess(params["pid"])),
  ),
  route("GET /apps/$app/services", services, { deploy: true }),
  route(
    "PUT /apps/$app/services/$service",
    withApp(async () => problem(501, "this rack runs no services")),
  ),
  route(
    "POST /apps/$app/services/$service/restart",
    withApp(async () => ok()),
  ),
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

function noProcess(pid = ""): Response {
  return problem(404, `no such process: ${pid}`);
}

/** The services that the active release's manifest names, none of them running. */
async function services({ rack, params: { app = "" } }: RackCall): Promise<Response> {
  const { release } = await rack.app(app);
  if (release === "") return json([]);
  const { manifest, env } = await rack.release(app, release);
  const [{ loadConvoxYml }, { parseEnv }] = await Promise.all([
    import("../../manifest/convox-yml.ts"),
    import("../../rack/env-text.ts"),
  ]);
  const found = await loadConvoxYml(manifest, "convox.yml", parseEnv(env));
  return json(
    found.services.map(({ name }) => ({
      ...{ name, count: 0, cpu: 0, domain: "", gpu: 0, "gpu-vendor": "", memory: 0, nlb: [], ports: [] },
    })),
  );
}

async function* appLog(call: RackCall, signal: AbortSignal): AsyncGenerator<Bytes> {
  await call.rack.app(call.params["app"] ?? "");
  if (call.request.headers.get("follow") !== "false") yield* silent(call, signal);
}
