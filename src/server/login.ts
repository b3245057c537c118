import { reasonOf } from "../errors.ts";
import type { EmbeddedRack } from "../rack/embedded.ts";
import type { ServedRack } from "../rack/served-rack.ts";
import { type Claims, readToken } from "../rack/tokens.ts";
import { problem } from "./answer.ts";
import { type Basic, basicOf, PasswordGate } from "./password.ts";

export type Role = Claims["role"] | "pull";

/** Who is asking, and what for: a login of the whole rack, or of some apps, or of one build's images. */
export interface Visitor {
  /** For the audit log. */
  name: string;
  role: Role;
  /** Only these; undefined is all. */
  apps?: readonly string[] | undefined;
  /** Only this build's images. */
  build?: string | undefined;
}

export interface LoginOptions {
  rack: EmbeddedRack;
  served: ServedRack;
  password: string;
  now?: () => Date;
}

/** Finds out who sends a request: by the rack's password, a token of ours, a build's push secret, or nodes' pull login. */
export class Login {
  readonly #options: LoginOptions;
  readonly #gate: PasswordGate;
  readonly #secret: string;

  private constructor(options: LoginOptions, secret: string) {
    this.#options = options;
    this.#gate = new PasswordGate(options.password);
    this.#secret = secret;
  }

  static async open(options: LoginOptions): Promise<Login> {
    return new Login(options, await options.rack.settings.secret("jwt"));
  }

  /** The visitor, or the answer that sends it away. */
  async visitor(request: Request, address: string): Promise<Visitor | Response> {
    const given = basicOf(request);
    if (given?.user === "jwt") return this.#token(given.password);
    const granted = given && (await this.#granted(given));
    if (granted) return granted;
    const refused = this.#gate.check(request, address);
    if (!refused) return { name: actorOf(request), role: "rwa" };
    return refused.status === 429
      ? problem(429, "too many wrong passwords", { "retry-after": "1" })
      : problem(401, "invalid authentication", { "www-authenticate": 'Basic realm="convox"' });
  }

  #token(token: string): Visitor | Response {
    try {
      const { user, role, apps } = readToken(token, this.#secret, this.#options.now?.() ?? new Date());
      return { name: user, role, apps };
    } catch (error) {
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

/** Who the holder of the rack's password says to be. */
function actorOf(request: Request): string {
  const said = request.headers.get("convox-actor") ?? request.headers.get("x-convox-actor") ?? "";
  return said.replace(/[^\w.@+:/ -]/g, "").slice(0, 100) || "rack-password";
}
