import { DavitError, reasonOf } from "../errors.ts";
import type { EmbeddedRack } from "../rack/embedded.ts";
import type { ServedRack } from "../rack/served-rack.ts";
import { readStart } from "../response-body.ts";
import { failure, problem } from "./answer.ts";
import { Form } from "./form.ts";
import type { Login, Visitor } from "./login.ts";
import { match, type RackCall, type Route } from "./route.ts";
import { routes } from "./routes.ts";
import { type Connection, connection, type Peer } from "./sockets.ts";

export interface RackParts {
  rack: EmbeddedRack;
  served: ServedRack;
  login: Login;
}

/** The Convox rack API: an answer to a request, or undefined where it went on as a web socket. */
export async function rackApi(
  request: Request,
  from: string,
  parts: RackParts,
  upgrade: (data: Connection) => boolean,
): Promise<Response | undefined> {
  const url = new URL(request.url);
  const isSocket = request.headers.get("upgrade")?.toLowerCase() === "websocket";
  const found = find(isSocket ? "SOCKET" : request.method, url.pathname);
  if (!found) return new Response(null, { status: pathExists(url.pathname) ? 405 : 404 });
  const visitor = await parts.login.visitor(request, from);
  if (visitor instanceof Response) return isSocket ? await refuse(request, visitor, upgrade) : visitor;
  if (isSocket) return accept(found, { ...parts, request, url }, visitor, upgrade);
  const form = await Form.of(found.route.raw ? new Request(url) : request, url, visitor.name).catch(
    (error: unknown) => {
      return failure(error, request);
    },
  );
  if (form instanceof Response) return form;
  const call = { ...parts, request, url, form, visitor, params: found.params };
  try {
    requireRight(found.route, visitor, found.params);
    const response = await found.route.run(call);
    await note(found.route, call, "");
    return response;
  } catch (error) {
    await note(found.route, call, reasonOf(error));
    return failure(error, request);
  }
}

/** The audit log holds what was done, and what was tried. */
async function note(
  { event }: Route,
  { rack, visitor, params, form }: RackCall,
  error: string,
): Promise<void> {
  if (event === undefined) return;
  const named = ["name", "server", "apps"].flatMap((field) => {
    const value = form.text(field);
    return value && !params["app"] && !Object.hasOwn(params, field) ? [[field, value]] : [];
  });
  const data = { ...params, ...Object.fromEntries(named) };
  const status = error === "" ? "success" : "error";
  await rack.noteDone({ actor: visitor.name, action: event, status, error, data });
}

interface Found {
  route: Route;
  params: Record<string, string>;
}

function find(method: string, path: string): Found | undefined {
  for (const route of routes) {
    if (route.method !== (method === "HEAD" ? "GET" : method)) continue;
    const params = match(route, path);
    if (params) return { route, params };
  }
  return undefined;
}

function pathExists(path: string): boolean {
  return routes.some((route) => match(route, path) !== undefined);
}

/** How many sockets of visitors without a login may be open at a time, each while its refusal is sent. */
const MOST_REFUSED = 64;
let refusedNow = 0;

/**
 * Refuses a visitor without a login: before the handshake, or, for the original's clients, which
 * do not show why a handshake was refused, on the open socket.
 */
async function refuse(
  request: Request,
  refusal: Response,
  upgrade: (data: Connection) => boolean,
): Promise<Response | undefined> {
  refusal.headers.set("connection", "close");
  const isDavit = (request.headers.get("user-agent") ?? "").startsWith("davit");
  if (isDavit || refusedNow >= MOST_REFUSED) return refusal;
  const why = (await readStart(refusal.clone())).trim();
  const talk = (): Promise<void> => Promise.reject(new DavitError("denied", why));
  const gone = (): void => void refusedNow--;
  if (!upgrade(connection(talk, "", gone))) return refusal;
  refusedNow++;
  return undefined;
}

/** A visitor who lacks a right is told so on the open socket. */
function accept(
  { route, params }: Found,
  call: Omit<RackCall, "form" | "visitor" | "params">,
  visitor: Visitor,
  upgrade: (data: Connection) => boolean,
): Response | undefined {
  async function talk(peer: Peer): Promise<void> {
    requireRight(route, visitor, params);
    const form = await Form.of(new Request(call.url), call.url, visitor.name);
    const whole = { ...call, form, visitor, params };
    await note(route, whole, "");
    await route.talk?.(whole, peer);
  }
  const offered = call.request.headers.get("sec-websocket-protocol")?.split(",") ?? [];
  const protocol = offered.map((one) => one.trim()).find((one) => one === route.protocol);
  return upgrade(connection(talk, protocol)) ? undefined : problem(400, "this is no web socket's handshake");
}

/**
 * What a role holds; a key that may only deploy holds what such routes need, for its
 * apps. A build's push secret and a node's login are for images, and hold nothing here.
 */
function requireRight(
  { right, deploy }: Route,
  { role, apps, build }: Visitor,
  { app }: Record<string, string>,
): void {
  const allowed =
    build === undefined && role !== "pull" && (role === "deploy" ? deploy : role.includes(right));
  const known = app === undefined || apps === undefined || apps.includes(app);
  if (!allowed || !known) throw new DavitError("denied", "you are unauthorized to access this");
}
