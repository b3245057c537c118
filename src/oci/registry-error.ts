import { DavitError, type ErrorCode } from "../errors.ts";
import { throughProxy } from "../http/request.ts";
import { isPassing, retryAfter } from "../http/retry.ts";
import { readStart } from "../response-body.ts";
import { Scanner } from "../scanner.ts";
import { check, parseJson, Type } from "../schema.ts";

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes */
const WireErrors = Type.Object({
  errors: Type.Array(
    Type.Object({
      code: Type.Optional(Type.String()),
      message: Type.Optional(Type.String()),
      detail: Type.Optional(Type.Unknown()),
    }),
    { minItems: 1 },
  ),
});

const MAX_SHOWN = 1000;

/** What a registry said went wrong, in its own words, on one line. */
export async function registryError(
  what: string,
  host: string,
  response: Response,
  scope = "",
): Promise<DavitError> {
  const text = await readStart(response);
  const said = wording(text);
  const code = codeOf(response.status);
  const hint = hintOf(code, host, scope, response.status);
  return new DavitError(
    code,
    `${what}: ${host} answered ${response.status}${throughProxy(response)}${said ? `: ${said}` : ""}`,
    {
      ...(hint ? { hint } : {}),
      ...(code === "unavailable" ? { retryAfter: retryAfter(response) } : {}),
    },
  );
}

/** The words of an HTML page. */
function withoutTags(text: string): string {
  const scanner = new Scanner(text);
  let words = "";
  while (!scanner.done) {
    words += `${scanner.takeUntil("<")} `;
    scanner.takeUntil(">");
    scanner.at++;
  }
  return words;
}

function wording(text: string): string {
  const line = (value: string) =>
    value
      .replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, " ")
      .trim()
      .slice(0, MAX_SHOWN);
  let json: unknown;
  try {
    json = parseJson(text, "a registry's error", "registry");
  } catch {
    return line(withoutTags(text).replaceAll(/\s+/g, " "));
  }
  try {
    const { errors } = check(WireErrors, json, "a registry's error");
    return line(
      errors
        .map(({ code, message, detail }) => [code, message, details(detail)].filter(Boolean).join(": "))
        .join("; "),
    );
  } catch {
    return line(text);
  }
}

function details(detail: unknown): string {
  if (detail === undefined || detail === null || detail === "") return "";
  const text = typeof detail === "string" ? detail : JSON.stringify(detail);
  return text === "{}" || text === "[]" ? "" : text;
}

function codeOf(status: number): ErrorCode {
  if (isPassing(status)) return "unavailable";
  if (status === 404) return "not-found";
  return status === 401 || status === 403 ? "denied" : "registry";
}

function hintOf(code: ErrorCode, host: string, scope: string, status: number): string | undefined {
  if (code !== "denied") return undefined;
  const action = /push/.test(scope) ? "push to" : "pull from";
  const [, repository = host] = /^repository:([^:]+):/.exec(scope) ?? [];
  return status === 401
    ? `log in with \`davit registries login ${host}\``
    : `this login may not ${action} ${repository} at ${host}; ask for the right, or log in as someone else`;
}
