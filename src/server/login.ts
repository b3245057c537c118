import { hasCode, reasonOf } from "../errors.ts";
import type { EmbeddedRack } from "../rack/embedded.ts";
import type { ServedRack } from "../rack/served-rack.ts";
import type { TokenMaker, TokenRole } from "../rack/tokens.ts";
import { problem } from "./answer.ts";
import { type Basic, basicOf, PasswordGate } from "./password.ts";

export type Role = TokenRole | "pull";

/** Who is asking, and what for: a login of the whole rack, or of some apps, or of one build's images. */
export interface Visitor {
  /** For the audit log. */
  name: string;
  role: Role;
  /** Only these; undefined is all. */
  apps?: readonly string[] | undefined;
  /** Only this build's images. */
  build?: string | undefined;
  /** The token that the visitor showed, if any. */
  token?: TokenMaker["token"];
}

export interface LoginOptions {
  rack: EmbeddedRack;
  served: ServedRack;
  password: string;
}

/**
 * Finds out who sends a request: by the rack's password, a token of ours, a build's push
 * secret, or nodes' pull login. Right ones always get in, however many wrong ones come.
 */
export class Login {
  readonly #options: LoginOptions;
  readonly #gate: PasswordGate;

  constructor(options: LoginOptions) {
    this.#options = options;
    this.#gate = new PasswordGate(options.password);
  }

  /** The visitor, or the answer that sends it away. */
  async visitor(request: Request, address: string): Promise<Visitor | Response> {
    const given = basicOf(request);
    if (given?.user === "jwt") return await this.#token(given.password);
    const granted = given && (await this.#granted(given));
    if (granted) return granted;
    const refused = await this.#gate.check(request, address);
    if (!refused) return { name: actorOf(request), role: "rwa" };
    return refused.status === 429
      ? problem(429, "too many wrong passwords", { "retry-after": "1" })
      : problem(401, "invalid authentication", { "www-authenticate": 'Basic realm="convox"' });
  }

  /** Tokens are too long to be guessed: wrong ones are not counted. */
  async #token(text: string): Promise<Visitor | Response> {
    try {
      const { id = "", name, role, apps, until } = await this.#options.rack.tokenDesk.read(text);
      return { name, role, apps, token: { id, role, until } };
    } catch (error) {
      if (!hasCode(error, "denied")) throw error;
      return problem(401, `invalid authentication: ${reasonOf(error)}`);
    }
  }

  async #granted({ user, password }: Basic): Promise<Visitor | undefined> {
    const pulls = await this.#options.rack.pullsOf({ user, password });
    if (pulls !== undefined) return { name: user, role: "pull", apps: [pulls] };
    if (!/^B[A-Z]{10}$/.test(user)) return undefined;
    const found = await this.#options.served.granted(password);
    if (!found || found.build !== user) return undefined;
    return { name: `build ${user}`, role: "deploy", apps: [found.app], build: user };
  }
}

/** The name of a visitor with the rack's password, who may claim another: the claim is marked as one. */
function actorOf(request: Request): string {
  const header = request.headers.get("convox-actor") ?? request.headers.get("x-convox-actor") ?? "";
  const said = header.replace(/[^\w.@+:/ -]/g, "").slice(0, 100);
  return said === "" ? "rack-password" : `rack-password (says ${said})`;
}
