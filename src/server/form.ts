import { decode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { wholeBody } from "./body.ts";

/** The largest form that is read, in bytes: convox.yml and env travel in them. */
const LARGEST = 2 * 1024 * 1024;

/** The longest list that is given. */
const MOST_LISTED = 1000;

/** What a request says beside its path: a form's fields, else the query's, else a header of that name. */
export class Form {
  readonly #fields: URLSearchParams;
  readonly #query: URLSearchParams;
  readonly #headers: Headers;

  private constructor(fields: URLSearchParams, query: URLSearchParams, headers: Headers) {
    this.#fields = fields;
    this.#query = query;
    this.#headers = headers;
  }

  /** Reads the body only where it is a form. `login` is who sends it. */
  static async of(request: Request, url: URL, login: string): Promise<Form> {
    const isForm = (request.headers.get("content-type") ?? "").startsWith(
      "application/x-www-form-urlencoded",
    );
    const text = isForm ? decode(await wholeBody(request, login, LARGEST, "the form")) : "";
    return new Form(new URLSearchParams(text), url.searchParams, request.headers);
  }

  has(name: string): boolean {
    return this.#fields.has(name) || this.#query.has(name);
  }

  text(name: string): string | undefined {
    return this.#fields.get(name) ?? this.#query.get(name) ?? this.#header(name) ?? undefined;
  }

  #header(name: string): string | null {
    return /^[A-Za-z-]+$/.test(name) && name.toLowerCase() !== "host" ? this.#headers.get(name) : null;
  }

  /** Only `true` is true. */
  on(name: string): boolean {
    return this.text(name) === "true";
  }

  /** Undefined where nothing is said. */
  bool(name: string): boolean | undefined {
    return this.has(name) ? this.on(name) : undefined;
  }

  int(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined || text === "") return undefined;
    if (!/^-?\d{1,9}$/.test(text)) throw new DavitError("invalid", `invalid ${name}: ${text.slice(0, 50)}`);
    return Number(text);
  }

  /** How many of a list are asked for; no more than 1,000 are given. */
  limit(): number | undefined {
    const limit = this.int("limit");
    if (limit !== undefined && limit < 0) throw new DavitError("invalid", `invalid limit: ${limit}`);
    return limit === undefined ? undefined : Math.min(limit, MOST_LISTED);
  }

  /** A map travels as a query string of its own, encoded once more. */
  map(name: string): Record<string, string> | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : Object.fromEntries(new URLSearchParams(text));
  }

  /** `YYYYMMDD.HHMMSS.nnnnnnnnn`, as RFC 3339. */
  time(name: string): string | undefined {
    const text = this.text(name);
    if (text === undefined || text === "") return undefined;
    const parts = /^(\d{4})(\d\d)(\d\d)\.(\d\d)(\d\d)(\d\d)\.(\d{1,9})$/.exec(text);
    const [, year, month, day, hour, minute, second, fraction = ""] = parts ?? [];
    const time = `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.slice(0, 9)}Z`;
    if (!parts || Number.isNaN(Date.parse(time)))
      throw new DavitError("invalid", `invalid ${name}: ${text.slice(0, 50)}`);
    return time;
  }
}
