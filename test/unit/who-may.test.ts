import { expect, test } from "bun:test";
import { newId } from "../../src/rack/ids.ts";
import { pullLogin } from "../../src/rack/pull-login.ts";
import { signToken } from "../../src/rack/tokens.ts";
import { ROUTES } from "../../src/server/registry/registry-api.ts";
import { routes } from "../../src/server/routes.ts";
import { ADMIN, type Credentials, servedRack } from "../support/served-rack.ts";

/*
 * Who may do what: every route of the server is tried with every kind of login. A row names the
 * tokens that the route is open to: `r`, `rw` and `rwa` of the whole rack; `key`, a deploy
 * key of the app; `secret`, of an external build of it; `pull`, what nodes pull with. The
 * rack's password may do what `rwa` may. Every other login is refused everywhere.
 */
const TABLE = `
GET /system                                      r rw rwa key
PUT /system                                          rwa
GET /system/processes                            r rw rwa
GET /system/releases                             r rw rwa
POST /system/jwt/token                             rw rwa
GET /system/apps/deleted                             rwa
GET /system/jwt/tokens                                rwa
DELETE /system/jwt/tokens/$id                         rwa
DELETE /system/jwt/older-tokens                       rwa
GET /registries                                    rw rwa
POST /registries                                   rw rwa
DELETE /registries/$$server                        rw rwa
GET /events                                      r rw rwa
POST /events                                       rw rwa key
SOCKET /system/logs                              r rw rwa key
GET /auth                                        r rw rwa key
GET /machines                                    r rw rwa key
GET /racks                                       r rw rwa key
GET /racks/$organization/$name                   r rw rwa key
GET /apps                                        r rw rwa key
POST /apps                                         rw rwa
GET /apps/$app                                   r rw rwa key
PUT /apps/$app                                     rw rwa
DELETE /apps/$app                                  rw rwa
POST /apps/$app/cancel                             rw rwa
GET /apps/$app/configs/$name                     r rw rwa
PUT /apps/$app/configs/$name                       rw rwa
GET /apps/$app/budget                            r rw rwa
POST /apps/$app/objects/$$key                      rw rwa key
GET /apps/$app/objects/$$key                     r rw rwa key
DELETE /apps/$app/objects/$$key                    rw rwa
GET /apps/$app/objects                           r rw rwa
POST /apps/$app/sources                            rw rwa key
POST /apps/$app/sources/$mirror/$root              rw rwa key
GET /apps/$app/builds                            r rw rwa key
POST /apps/$app/builds                             rw rwa key
POST /apps/$app/builds/import                      rw rwa key
POST /apps/$app/builds/commit                      rw rwa key
GET /apps/$app/blobs                             r rw rwa key
GET /apps/$app/builds/$id.tgz                    r rw rwa key
GET /apps/$app/builds/$id                        r rw rwa key
PUT /apps/$app/builds/$id                          rw rwa key
DELETE /apps/$app/builds/$id                       rw rwa
POST /apps/$app/builds/$id/image                   rw rwa key
SOCKET /apps/$app/builds/$id/logs                r rw rwa key
GET /apps/$app/releases                          r rw rwa key
POST /apps/$app/releases                           rw rwa key
GET /apps/$app/releases/$id                      r rw rwa key
POST /apps/$app/releases/$id/promote               rw rwa key
GET /apps/$app/processes                         r rw rwa key
GET /apps/$app/processes/$pid                    r rw rwa key
DELETE /apps/$app/processes/$pid                   rw rwa
GET /apps/$app/resources                         r rw rwa
GET /apps/$app/resources/$name                   r rw rwa
GET /apps/$app/services                          r rw rwa key
PUT /apps/$app/services/$service                   rw rwa
POST /apps/$app/services/$service/restart          rw rwa
POST /apps/$app/services/$service/processes        rw rwa
SOCKET /apps/$app/services/$service/run            rw rwa
SOCKET /apps/$app/processes/$pid/exec              rw rwa
SOCKET /apps/$app/logs                           r rw rwa key
SOCKET /apps/$app/services/$service/logs         r rw rwa key
SOCKET /apps/$app/processes/$pid/logs            r rw rwa key
GET /v2/$app/blobs                               r rw rwa key secret pull
HEAD /v2/$app/blobs                              r rw rwa key secret pull
DELETE /v2/$app/blobs                              rw rwa
GET /v2/$app/manifests                           r rw rwa key secret pull
HEAD /v2/$app/manifests                          r rw rwa key secret pull
PUT /v2/$app/manifests                             rw rwa key secret
DELETE /v2/$app/manifests                          rw rwa
GET /v2/$app/uploads                               rw rwa key secret
PATCH /v2/$app/uploads                             rw rwa key secret
PUT /v2/$app/uploads                               rw rwa key secret
DELETE /v2/$app/uploads                            rw rwa key secret
POST /v2/$app/start                                rw rwa key secret
GET /v2/$app/referrers                           r rw rwa key secret pull
GET /v2/$app/tags                                r rw rwa key secret pull
GET /v2/                                         r rw rwa key secret pull
GET /v2/_catalog                                 r rw rwa key secret pull
GET /metrics                                     r rw rwa
`;

/** By route: whom it is open to. */
const table = new Map(
  TABLE.trim()
    .split("\n")
    .map((row) => row.trim().split(/\s+/))
    .map(([method = "", path = "", ...open]): [string, string[]] => [`${method} ${path}`, open]),
);

const DIGEST = `sha256:${"0".repeat(64)}`;
/** Where there is something to address, it is nothing that exists: nothing is changed by being allowed to. */
const VARIABLES: Record<string, string> = { $app: "shop", $id: "TNONENONENO", $key: "tmp/x", $name: "none" };
const REGISTRY_PATHS: Record<string, string> = {
  blobs: `/v2/shop/blobs/${DIGEST}`,
  manifests: `/v2/shop/manifests/${DIGEST}`,
  uploads: "/v2/shop/blobs/uploads/none",
  start: `/v2/shop/blobs/uploads/?mount=${DIGEST}&from=none`,
  referrers: `/v2/shop/referrers/${DIGEST}`,
  tags: "/v2/shop/tags/list",
};

function pathOf(line: string): string {
  const [, path = ""] = line.split(" ");
  const kind = /^\/v2\/\$app\/(\w+)$/.exec(path)?.[1];
  if (kind !== undefined) return REGISTRY_PATHS[kind] ?? "";
  return path.replaceAll(/\$?(\$\w+)/g, (_, name: string) => VARIABLES[name] ?? "none");
}

async function secretOf(server: Awaited<ReturnType<typeof servedRack>>, app: string): Promise<string> {
  const { text } = await server.ask(ADMIN, "POST", `/apps/${app}/builds`, { external: "true", url: "" });
  const { username, password } = new URL(JSON.parse(text).repository);
  return `${username}:${password}`;
}

async function servedApps() {
  const server = await servedRack();
  for (const app of ["shop", "other"]) {
    await server.rack.createApp(app);
    await server.rack.updateApp(app, { locked: true });
  }
  const token = async (role: "read" | "write" | "admin", apps?: string[]) =>
    `jwt:${await server.rack.createToken({ role, hours: 1, ...(apps ? { apps } : {}) })}`;
  const revoked = await token("admin");
  for (const { id } of await server.rack.tokens()) await server.rack.revokeToken(id);
  const claims = { user: "x", role: "rwa" as const, expiresAt: Math.floor(Date.now() / 1000) - 1 };
  const expired = signToken({ ...claims, jti: newId("T") }, await server.rack.settings.secret("jwt"));
  const ledger = await server.ledger();
  const { settings } = server.rack;
  const [pull, otherPull] = [
    await pullLogin({ ledger, settings }, "shop", ""),
    await pullLogin({ ledger, settings }, "other", ""),
  ];
  await ledger.close();
  /** Each with what a row calls it; "" is never in a row. */
  const visitors: Record<string, { login: Credentials; row: string; other?: boolean }> = {
    nobody: { login: undefined, row: "" },
    "a wrong password": { login: "convox:wrong", row: "" },
    "the rack's password": { login: ADMIN, row: "rwa" },
    "a read token": { login: await token("read"), row: "r" },
    "a write token": { login: await token("write"), row: "rw" },
    "an admin token": { login: await token("admin"), row: "rwa" },
    "the app's key": { login: await token("write", ["shop"]), row: "key" },
    "another app's key": { login: await token("write", ["other"]), row: "key", other: true },
    "the app's build": { login: await secretOf(server, "shop"), row: "secret" },
    "another app's build": { login: await secretOf(server, "other"), row: "secret", other: true },
    "the app's nodes": { login: `${pull.username}:${pull.password}`, row: "pull" },
    "another app's nodes": { login: `${otherPull.username}:${otherPull.password}`, row: "pull", other: true },
    "nodes with another app's password": { login: `${pull.username}:${otherPull.password}`, row: "" },
    "a revoked token": { login: `jwt:${revoked}`, row: "" },
    "an expired token": { login: `jwt:${expired}`, row: "" },
  };
  return { ...server, visitors };
}

const NOT_YOURS =
  /you are unauthorized to access this|this login may not|invalid authentication|too many wrong|Expected 101/;

test("every route has its row, and every row its route", () => {
  const registry = Object.entries(ROUTES).flatMap(([kind, verbs]) =>
    verbs.map(({ method }) => `${method} /v2/$app/${kind}`),
  );
  const all = [...routes.map(({ line }) => line), ...registry];
  expect([...table.keys()].sort()).toEqual([...all, "GET /v2/", "GET /v2/_catalog", "GET /metrics"].sort());
});

test("each route opens to those of its row, and to nobody else", async () => {
  await using server = await servedApps();
  /** Whether a login got past the check of rights, whatever the route answered then. */
  const gotIn = async (login: Credentials, line: string): Promise<boolean> => {
    if (line.startsWith("SOCKET "))
      return !NOT_YOURS.test(await firstFrame(server.url, server.headersOf(login), line));
    const [method = ""] = line.split(" ");
    const { status, text } = await server.ask(login, method, pathOf(line));
    if (method === "HEAD") return status !== 401 && status !== 403 && status !== 429;
    return !(status === 429 || status === 401 || (status === 403 && NOT_YOURS.test(text)));
  };
  const found: string[] = [];
  const expected: string[] = [];
  const asked = [...table].flatMap(([line, open]) =>
    Object.entries(server.visitors).map(async ([name, { login, row, other }]) => {
      const isOwn = !other || !line.includes("$app");
      if (open.includes(row) && isOwn) expected.push(`${line}: ${name}`);
      if (await gotIn(login, line)) found.push(`${line}: ${name}`);
    }),
  );
  await Promise.all(asked);
  expect(found.sort()).toEqual(expected.sort());
}, 60_000);

/** The first message of a socket; "" where none comes for a while. */
async function firstFrame(url: string, headers: Record<string, string>, line: string): Promise<string> {
  const address = `${url.replace("http", "ws")}${pathOf(line)}`;
  const socket: WebSocket = Reflect.construct(WebSocket, [address, { headers }]);
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.onmessage = ({ data }: MessageEvent<unknown>) => resolve(String(data));
  socket.onclose = ({ reason }) => resolve(reason);
  const text = await Promise.race([promise, Bun.sleep(2000).then(() => "")]);
  socket.close();
  return text;
}
