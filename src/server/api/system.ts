import type { Bytes } from "../../bytes.ts";
import { DavitError } from "../../errors.ts";
import type { TokenRequest } from "../../rack/rack.ts";
import { json, ok, problem } from "../answer.ts";
import { clientEvent } from "../client-event.ts";
import { Quota } from "../quota.ts";
import { type RackCall, type Route, route, telling } from "../route.ts";

/** The version of davit's own part of the API, by which two davits know each other. */
const API = "1";

/** Events that one login may have noted in a minute. */
const noted = new Quota(60, 60_000);

export const system: readonly Route[] = [
  route("GET /system", describe, { deploy: true }),
  route(
    "PUT /system",
    async ({ rack, served, form, visitor }) => {
      const changes = form.map("parameters") ?? {};
      await rack.setParams(changes);
      served.move();
      const data = { names: Object.keys(changes).sort().join(",") };
      await rack.noteDone({ actor: visitor.name, action: "rack:params", status: "success", error: "", data });
      return ok();
    },
    { right: "a" },
  ),
  route("GET /system/processes", async () => json([])),
  route("GET /system/releases", async () => problem(501, "release history is unavailable")),
  route("POST /system/jwt/token", issueToken),
  // davit's own.
  route("GET /system/jwt/tokens", async ({ rack }) => json(await rack.tokens()), { right: "a" }),
  route(
    "DELETE /system/jwt/tokens/$id",
    async ({ rack, params: { id = "" } }) => {
      await rack.revokeToken(id);
      return ok();
    },
    { right: "a", event: "token:revoke" },
  ),
  route(
    "DELETE /system/jwt/older-tokens",
    async ({ rack }) => {
      await rack.revokeOlderTokens();
      return ok();
    },
    { right: "a", event: "token:revoke-older" },
  ),
  route("GET /registries", async ({ rack }) => json(await rack.registries()), { right: "w" }),
  route(
    "POST /registries",
    async ({ rack, form }) => {
      const apps = namesIn(form.text("apps"));
      const login = {
        server: form.text("server") ?? "",
        username: form.text("username") ?? "",
        password: form.text("password") ?? "",
        ...(apps ? { apps } : {}),
      };
      await rack.addRegistry(login);
      return json(login);
    },
    { event: "registry:add" },
  ),
  route(
    "DELETE /registries/$$server",
    async ({ rack, params: { server = "" } }) => {
      await rack.removeRegistry(server);
      return ok();
    },
    { event: "registry:remove" },
  ),
  route("GET /events", async ({ rack, form }) => json(await rack.events(form.limit()))),
  route(
    "POST /events",
    async ({ rack, form, visitor }) => {
      const event = clientEvent(form, visitor);
      if (noted.isOver(visitor.name)) return problem(429, "too many events", { "retry-after": "60" });
      await rack.note(event);
      return ok();
    },
    { deploy: true },
  ),
  telling("/system/logs", silent),
  // What `login`, `racks` and `switch` ask a console for; and what every client asks before a socket.
  route("GET /auth", async () => ok(), { deploy: true }),
  route("GET /machines", async () => json([]), { deploy: true }),
  route("GET /racks", async (call) => json([await asRack(call)]), { deploy: true }),
  route(
    "GET /racks/$organization/$name",
    async (call) => {
      const rack = await asRack(call);
      if (call.params["name"] !== rack.name)
        throw new DavitError("not-found", `no such rack: ${call.params["name"]}`);
      return json({ ...rack, parameters: null, state: null, version: (await call.rack.system()).version });
    },
    { deploy: true },
  ),
];

async function describe({ rack, url, visitor }: RackCall): Promise<Response> {
  const found = await rack.system();
  const outputs = { ...found.outputs, davit: API };
  const more = { "rack-domain": url.host, "router-internal": "", type: "" };
  const parameters = visitor.role === "deploy" || visitor.role === "r" ? {} : found.parameters;
  return json({ ...found, ...more, outputs, parameters });
}

/** The names in a field, which are joined with commas; undefined where the field was left out. */
function namesIn(text: string | undefined): string[] | undefined {
  return text?.split(",").filter((name) => name !== "");
}

async function asRack({ rack }: RackCall) {
  const { name, provider, status } = await rack.system();
  return { name, organization: { name: "davit" }, provider, status };
}

async function issueToken({ form, visitor, rack }: RackCall): Promise<Response> {
  const role = form.text("role");
  if (role !== "read" && role !== "write" && role !== "admin")
    throw new DavitError("invalid", "role must be read, write or admin");
  const hours = form.int("durationInHour");
  if (hours === undefined) throw new DavitError("invalid", "invalid duration");
  if (role === "admin" && visitor.role !== "rwa")
    throw new DavitError("denied", "you are unauthorized to access this");
  const [apps, name] = [namesIn(form.text("apps")), form.text("name")];
  const wanted: TokenRequest = {
    ...{ role, hours },
    ...(apps ? { apps } : {}),
    ...(name ? { name } : {}),
  };
  const token = await rack.tokenDesk.issue(wanted, visitor);
  const given = apps ? { role: "deploy", apps: apps.join(",") } : { role };
  const data = { ...given, hours: String(hours), ...(name ? { name } : {}) };
  await rack.noteDone({ actor: visitor.name, action: "token:create", status: "success", error: "", data });
  return json({ token });
}

/** A log with nothing in it stays open as long as its reader. */
export async function* silent(_: unknown, signal: AbortSignal): AsyncGenerator<Bytes> {
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve());
  if (!signal.aborted) await promise;
}
