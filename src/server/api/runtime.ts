import type { Bytes } from "../../bytes.ts";
import { milliseconds } from "../../duration.ts";
import { DavitError } from "../../errors.ts";
import { CHANNELS } from "../../http/channels.ts";
import type { EmbeddedRack } from "../../rack/embedded.ts";
import { ZERO_TIME } from "../../rack/rack.ts";
import type { Process, ResourceInfo, RunWanted } from "../../rack/running.ts";
import { checkJson, Type } from "../../schema.ts";
import { shellWords } from "../../shell-words.ts";
import { json, ok, problem } from "../answer.ts";
import { attachPeer } from "../attached-peer.ts";
import { type RackCall, type Route, route, socket, telling } from "../route.ts";
import type { Peer } from "../sockets.ts";
import { silent } from "./system.ts";

/** What runs with an app's rights is for those who may change it. */
const INSIDE = { right: "w", deploy: false, protocol: CHANNELS } as const;

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
  route("GET /apps/$app/resources", async ({ rack, params: { app = "" } }) =>
    json((await rack.running.resources(app)).map(resourceWire)),
  ),
  route("GET /apps/$app/resources/$name", async ({ rack, params: { app = "", name = "" } }) => {
    const found = (await rack.running.resources(app)).find((one) => one.name === name);
    return found ? json(resourceWire(found)) : problem(404, `no such resource: ${name}`);
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
  route("POST /apps/$app/services/$service/processes", runDetached, { event: "process:run" }),
  socket(
    "/apps/$app/services/$service/run",
    async ({ rack, request, params }, peer) =>
      await attachPeer(peer, request.headers, async (to) => {
        return await rack.running.runOnce(params["app"] ?? "", wantedOf(request, params), to);
      }),
    { ...INSIDE, event: "process:run" },
  ),
  socket("/apps/$app/processes/$pid/exec", exec, { ...INSIDE, event: "process:exec" }),
  telling("/apps/$app/logs", appLog),
  telling("/apps/$app/services/$service/logs", appLog),
  telling("/apps/$app/processes/$pid/logs", appLog),
];

async function exec({ rack, request, params: { app = "", pid = "" } }: RackCall, peer: Peer): Promise<void> {
  await attachPeer(peer, request.headers, async (to) => {
    const entrypoint = request.headers.get("entrypoint") === "true" ? await entrypointOf(rack, app, pid) : [];
    return await rack.running.exec(app, pid, [...entrypoint, ...commandOf(request)], to);
  });
}

/** What the build of a process's release starts its commands with. */
async function entrypointOf(rack: EmbeddedRack, app: string, pid: string): Promise<string[]> {
  const process = (await rack.running.processes(app)).find(({ id }) => id === pid);
  if (!process) return [];
  const { build } = await rack.release(app, process.release);
  return shellWords((await rack.build(app, build)).entrypoint);
}

async function runDetached({ rack, request, params }: RackCall): Promise<Response> {
  const { app = "" } = params;
  const id = await rack.running.runDetached(app, wantedOf(request, params));
  const process = (await rack.running.processes(app)).find((one) => one.id === id);
  const ended = { id, app, service: params["service"] ?? "", release: "", status: "complete" };
  return json(wireOf(process ?? { ...ended, command: "", started: ZERO_TIME }));
}

function wantedOf(request: Request, { service = "" }: RackCall["params"]): RunWanted {
  const number = (name: string): number | undefined => {
    const text = request.headers.get(name);
    if (text === null) return undefined;
    if (!/^\d{1,9}$/.test(text)) throw new DavitError("invalid", `${name} is not a number: ${text}`);
    return Number(text);
  };
  const release = request.headers.get("release") ?? undefined;
  return { service, command: commandOf(request), release, cpu: number("cpu"), memory: number("memory") };
}

/** In the words of our own clients, or in one line as the original sends it. */
function commandOf({ headers }: Request): string[] {
  const words = headers.get("davit-command");
  if (words !== null) return checkJson(Type.Array(Type.String()), words, "the command");
  return shellWords(headers.get("command") ?? "");
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
function resourceWire(resource: ResourceInfo): object {
  return { ...resource, parameters: {} };
}

/** With all the fields that the original's clients look for. */
async function services({ rack, params: { app = "" } }: RackCall): Promise<Response> {
  const rest = { gpu: 0, "gpu-vendor": "", nlb: [] };
  const found = await rack.running.services(app);
  return json(
    found.map(({ ports, ...service }) => ({
      ...{ ...service, ...rest },
      ports: ports.map((container) => ({
        balancer: service.domain === "" ? 0 : 443,
        certificate: "",
        container,
      })),
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
