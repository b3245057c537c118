import { expect, test } from "bun:test";
import { RegistryLogins } from "../../src/rack/registry-logins.ts";
import { signToken } from "../../src/rack/tokens.ts";
import { ADMIN, servedRack } from "../support/served-rack.ts";

/* Who gets into a rack's server, and what of a login can be taken back. */

test("a revoked token is refused from the next request on, with those that were made with it", async () => {
  await using server = await servedRack();
  const login = `jwt:${await server.rack.createToken({ role: "write", hours: 5, name: "ci" })}`;
  const wanted = { role: "read", durationInHour: "1" };
  const made = await server.ask(login, "POST", "/system/jwt/token", wanted);
  const child = `jwt:${JSON.parse(made.text).token}`;
  expect((await server.ask(login, "GET", "/apps")).status).toBe(200);
  expect((await server.ask(child, "GET", "/apps")).status).toBe(200);
  const parent = (await server.rack.tokens()).find(({ name }) => name === "ci");
  expect((await server.ask(ADMIN, "DELETE", `/system/jwt/tokens/${parent?.id}`)).status).toBe(200);
  const refused = { status: 401, text: "invalid authentication: token is revoked\n" };
  expect(await server.ask(login, "GET", "/apps")).toEqual(refused);
  expect(await server.ask(child, "GET", "/apps")).toEqual(refused);
  expect(await server.ask(login, "GET", "/v2/")).toMatchObject({ status: 401 });
});

test("over the API a token makes none that may more than itself, or that outlives it", async () => {
  await using server = await servedRack();
  await server.rack.createApp("shop");
  const token = async (role: "read" | "write" | "admin", apps?: string[]) =>
    `jwt:${await server.rack.createToken({ role, hours: 2, ...(apps ? { apps } : {}) })}`;
  const make = async (login: string, fields: Record<string, string>) =>
    (await server.ask(login, "POST", "/system/jwt/token", { durationInHour: "1", ...fields })).status;
  const [write, admin, key] = [await token("write"), await token("admin"), await token("write", ["shop"])];
  expect(await make(write, { role: "write" })).toBe(200);
  expect(await make(write, { role: "write", apps: "shop" })).toBe(200);
  expect(await make(write, { role: "admin" })).toBe(403);
  expect(await make(write, { role: "read", durationInHour: "3" })).toBe(403);
  expect(await make(admin, { role: "admin" })).toBe(200);
  expect(await make(admin, { role: "admin", durationInHour: "3" })).toBe(403);
  expect(await make(key, { role: "read" })).toBe(403);
  expect(await make(await token("read"), { role: "read" })).toBe(403);
});

test("a deploy key ends with its app, and does not open the next app of that name", async () => {
  await using server = await servedRack();
  for (const app of ["shop", "web"]) await server.rack.createApp(app);
  const login = `jwt:${await server.rack.createToken({ role: "write", hours: 1, apps: ["shop", "web"] })}`;
  expect((await server.ask(login, "GET", "/apps/shop")).status).toBe(200);
  await server.rack.deleteApp("shop");
  await server.rack.createApp("shop");
  expect((await server.ask(login, "GET", "/apps/shop")).status).toBe(403);
  expect((await server.ask(login, "GET", "/apps/web")).status).toBe(200);
  await server.rack.deleteApp("web");
  expect((await server.ask(login, "GET", "/apps/web")).text).toContain("token is revoked");
});

test("a token without an id is good until it ends, or all of them are revoked, and never for newer apps", async () => {
  await using server = await servedRack();
  const secret = await server.rack.settings.secret("jwt");
  const expiresAt = Math.floor(Date.now() / 1000) + 3600;
  const older = `jwt:${signToken({ user: "old-read", role: "r", expiresAt }, secret)}`;
  const key = `jwt:${signToken({ user: "old-deploy", role: "deploy", expiresAt, apps: ["shop"] }, secret)}`;
  await server.rack.createApp("shop");
  expect((await server.ask(older, "GET", "/apps/shop")).status).toBe(200);
  expect((await server.ask(key, "GET", "/apps/shop")).status).toBe(403);
  expect((await server.ask(ADMIN, "DELETE", "/system/jwt/older-tokens")).status).toBe(200);
  expect((await server.ask(older, "GET", "/apps/shop")).text).toContain("token is revoked");
});

test("however many wrong passwords come from an address, the right one gets in from there at once", async () => {
  await using server = await servedRack();
  let wrong = true;
  const statuses = new Set<number>();
  const guess = async (i: number) => {
    for (let n = 0; wrong; n++) {
      statuses.add((await server.ask(`user${i}:wrong ${n}`, "GET", "/system")).status);
      statuses.add((await server.ask(`user${i}:wrong ${n}`, "GET", "/v2/")).status);
    }
  };
  const guesses = Array.from({ length: 50 }, (_, i) => guess(i));
  await Bun.sleep(500);
  for (let i = 0; i < 20; i++) {
    const began = performance.now();
    expect((await server.ask(ADMIN, "GET", "/system")).status).toBe(200);
    expect(performance.now() - began).toBeLessThan(500);
  }
  wrong = false;
  await Promise.all(guesses);
  expect([...statuses].sort()).toEqual([401, 429]);
});

test("the audit log says who showed which token, and marks who only says who it is", async () => {
  await using server = await servedRack();
  const login = `jwt:${await server.rack.createToken({ role: "write", hours: 1, name: "ci" })}`;
  await server.ask(login, "POST", "/apps", { name: "shop" });
  const plain = { ...server.headersOf(ADMIN), "convox-actor": "alice" };
  await fetch(`${server.url}/apps`, {
    method: "POST",
    headers: plain,
    body: new URLSearchParams({ name: "x" }),
  });
  const [{ id = "" } = {}] = await server.rack.tokens();
  const actors = (await server.rack.events()).map(({ actor }) => actor);
  expect(actors).toContain(`ci-write (${id})`);
  expect(actors).toContain("rack-password (says alice)");
});

test("a login that is for one app reaches no other app's builds, and every log hides it", async () => {
  await using server = await servedRack();
  const { rack } = server;
  for (const app of ["shop", "web"]) await rack.createApp(app);
  const add = (host: string, apps?: string) =>
    server.ask(ADMIN, "POST", "/registries", {
      ...{ server: host, username: "ci", password: `password of ${host}` },
      ...(apps === undefined ? {} : { apps }),
    });
  expect((await add("all.example.com")).status).toBe(200);
  expect((await add("shop.example.com", "shop")).status).toBe(200);
  const logins = new RegistryLogins(rack.settings, { HOME: "/nonexistent" });
  const auth = async (app: string) => Object.keys(JSON.parse(await logins.buildAuth(app)));
  expect(await auth("shop")).toEqual(["all.example.com", "shop.example.com"]);
  expect(await auth("web")).toEqual(["all.example.com"]);
  expect(await logins.forApp("web", "shop.example.com")).toBeUndefined();
  expect(await logins.forApp("shop", "shop.example.com")).toMatchObject({ username: "ci" });
  expect(await logins.forRack("shop.example.com")).toMatchObject({ username: "ci" });
  expect((await logins.all()).length).toBe(2);
});

test("the login of the registry that keeps everybody's images reaches only the apps it is given to", async () => {
  await using server = await servedRack();
  const { rack } = server;
  for (const app of ["shop", "web"]) await rack.createApp(app);
  const logins = new RegistryLogins(rack.settings, { HOME: "/nonexistent" });
  const add = (apps?: string[]) =>
    rack.settings.addRegistry({
      ...{ server: "https://images.example.com", username: "rack", password: "of the rack" },
      ...(apps ? { apps } : {}),
    });
  await add();
  expect(await logins.forApp("web", "images.example.com")).toMatchObject({ username: "rack" });
  await rack.settings.setParams({ Registry: "images.example.com/team" });
  expect(await logins.forApp("web", "images.example.com")).toBeUndefined();
  expect(await logins.buildAuth("web")).toBe("{}");
  expect(await logins.forRack("images.example.com")).toMatchObject({ username: "rack" });
  await add(["shop"]);
  expect(await logins.forApp("shop", "images.example.com")).toMatchObject({ username: "rack" });
  expect(await logins.forApp("web", "images.example.com")).toBeUndefined();
});

test("a key notes builds of its own app, as what it says, and not without end", async () => {
  await using server = await servedRack();
  await server.rack.createApp("shop");
  const login = `jwt:${await server.rack.createToken({ role: "write", hours: 1, apps: ["shop"], name: "ci" })}`;
  const note = async (fields: Record<string, string>, data: Record<string, string>) => {
    const form = { ...fields, data: new URLSearchParams(data).toString() };
    return (await server.ask(login, "POST", "/events", form)).status;
  };
  const build = { app: "shop", id: "BAAAAAAAAAA", release_id: "RAAAAAAAAAA" };
  expect(await note({ action: "build:create" }, build)).toBe(200);
  expect(await note({ action: "build:create", error: "it\u001b[2J failed" }, build)).toBe(200);
  expect(await note({ action: "app:delete" }, build)).toBe(403);
  expect(await note({ action: "build:create" }, { ...build, app: "other" })).toBe(403);
  expect(await note({ action: "build:create" }, { ...build, id: "x".repeat(1e5) })).toBe(403);
  expect(await note({ action: "build:create\n" }, build)).toBe(400);
  expect(await note({ action: "build:create", status: "red" }, build)).toBe(400);
  const [failed, done] = await server.rack.events();
  expect(done).toMatchObject({ action: "build:create", status: "success", data: build, source: "client" });
  expect(failed).toMatchObject({ status: "error", error: "it [2J failed" });
  const many = await Promise.all(Array.from({ length: 80 }, () => note({ action: "build:create" }, build)));
  expect(many.filter((status) => status === 429).length).toBeGreaterThan(15);
});

test("the audit log says what a token may and whose it is, and which registry a login is for, never its password", async () => {
  await using server = await servedRack();
  await server.rack.createApp("shop");
  const form = { server: "registry.example.com", username: "ci", password: "hidden-word", apps: "shop" };
  expect((await server.ask(ADMIN, "POST", "/registries", form)).status).toBe(200);
  const wanted = { role: "write", durationInHour: "1", apps: "shop", name: "ci" };
  expect((await server.ask(ADMIN, "POST", "/system/jwt/token", wanted)).status).toBe(200);
  const events = await server.rack.events();
  expect(events[0]).toMatchObject({
    action: "token:create",
    data: { role: "deploy", apps: "shop", hours: "1", name: "ci" },
  });
  expect(events[1]).toMatchObject({
    action: "registry:add",
    data: { server: "registry.example.com", apps: "shop" },
  });
  expect(JSON.stringify(events)).not.toContain("hidden-word");
});
