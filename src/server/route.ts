import type { ByteStream } from "../bytes.ts";
import type { EmbeddedRack } from "../rack/embedded.ts";
import type { ServedRack } from "../rack/served-rack.ts";
import type { Form } from "./form.ts";
import type { Login, Visitor } from "./login.ts";
import { type Peer, sendText } from "./sockets.ts";

/** One request, taken apart. */
export interface RackCall {
  request: Request;
  url: URL;
  form: Form;
  /** The path's variables, by name. */
  params: Record<string, string>;
  visitor: Visitor;
  rack: EmbeddedRack;
  served: ServedRack;
  login: Login;
}

export interface Route {
  /** Its method and path as they are written down: `GET /apps/$app`. */
  line: string;
  /** `SOCKET` is a GET that goes on as a web socket. */
  method: "GET" | "POST" | "PUT" | "DELETE" | "HEAD" | "SOCKET";
  pattern: RegExp;
  names: string[];
  /** What a visitor's role must hold. */
  right: "r" | "w" | "a";
  /** Whether keys that may only build and deploy may use it. */
  deploy: boolean;
  /** The body is bytes, whatever its type says. */
  raw: boolean;
  /** What the audit log calls it, of whatever comes. */
  event?: string;
  run(call: RackCall): Promise<Response>;
  /** What is said over a socket. */
  talk?(call: RackCall, peer: Peer): Promise<void>;
  /** The sub-protocol a socket may have. */
  protocol?: string;
}

type Options = Partial<Pick<Route, "right" | "deploy" | "raw" | "event" | "protocol">>;

/** `$name` stands for one segment of a path, `$$name` for all the rest of it. */
export function route(
  line: `${Exclude<Route["method"], "SOCKET">} /${string}`,
  run: Route["run"],
  options: Options = {},
): Route {
  const [method, path] = split(line);
  return {
    ...matcher(path),
    line,
    method,
    right: method === "GET" ? "r" : "w",
    deploy: false,
    raw: false,
    ...options,
    run,
  };
}

/** A route that goes on as a web socket. */
export function socket(path: `/${string}`, talk: NonNullable<Route["talk"]>, options: Options = {}): Route {
  const run = async (): Promise<Response> =>
    new Response(null, { status: 426, headers: { upgrade: "websocket" } });
  const line = `SOCKET ${path}`;
  return {
    ...matcher(path),
    ...{ line, method: "SOCKET", right: "r", deploy: true, raw: true, ...options, run, talk },
  };
}

/** A socket that only tells: a stream of text. */
export function telling(
  path: `/${string}`,
  stream: (call: RackCall, signal: AbortSignal) => ByteStream,
): Route {
  return socket(path, (call, peer) => sendText(peer, stream(call, peer.signal)));
}

function split(line: string): [Exclude<Route["method"], "SOCKET">, string] {
  const [method = "", path = ""] = line.split(" ");
  if (method === "GET" || method === "POST" || method === "PUT" || method === "DELETE" || method === "HEAD")
    return [method, path];
  throw new TypeError(`${line} is no route`);
}

function matcher(path: string): { pattern: RegExp; names: string[] } {
  const names: string[] = [];
  const source = path
    .replaceAll(/[.]/g, "\\.")
    .replaceAll(/\$(\$?)(\w+)/g, (_, all: string, name: string) => {
      names.push(name);
      return all === "" ? "([^/]+)" : "(.*)";
    });
  return { pattern: new RegExp(`^${source}$`), names };
}

/** The path's variables where the route is the one that is asked for. */
export function match({ pattern, names }: Route, path: string): Record<string, string> | undefined {
  const found = pattern.exec(path);
  if (!found) return undefined;
  return Object.fromEntries(names.map((name, i) => [name, decoded(found[i + 1] ?? "")]));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
