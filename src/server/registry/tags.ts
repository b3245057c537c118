import type { Call } from "./call.ts";
import { problem } from "./problem.ts";

/** Names on a page when none is asked for, and at most. */
const DEFAULT_PAGE = 1000;
const LARGEST_PAGE = 10_000;

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags */
export async function tagList(call: Call): Promise<Response> {
  const repository = await call.registry.repository(call.repository);
  return await page(
    call,
    async (after, limit) => (await repository?.tags(after, limit)) ?? [],
    (tags) => ({ name: call.repository, tags }),
  );
}

/** Repositories by name: Docker's own addition, which clients still ask for. */
export async function catalog(call: Call): Promise<Response> {
  const all = async (after: string, limit: number) =>
    (await call.registry.ledger.repositories(after, limit)).filter((name) => call.visitor.may("pull", name));
  return await page(call, all, (repositories) => ({ repositories }));
}

async function page(
  call: Call,
  list: (after: string, limit: number) => Promise<string[]>,
  body: (names: string[]) => object,
): Promise<Response> {
  const n = call.url.searchParams.get("n");
  const last = call.url.searchParams.get("last") ?? "";
  if (n !== null && !/^\d{1,15}$/.test(n))
    return problem(400, "UNSUPPORTED", "n is not a number from 0 up", n.slice(0, 100));
  const limit = Math.min(n === null ? DEFAULT_PAGE : Number(n), LARGEST_PAGE);
  const found = limit === 0 ? [] : await list(last, limit + 1);
  const names = found.slice(0, limit);
  const headers: Record<string, string> = {};
  if (found.length > limit && limit > 0)
    headers["link"] =
      `<${call.url.pathname}?n=${limit}&last=${encodeURIComponent(names.at(-1) ?? "")}>; rel="next"`;
  return Response.json(body(names), { headers });
}
