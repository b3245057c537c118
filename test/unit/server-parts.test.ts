import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { BuildQueue } from "../../src/rack/build-queue.ts";
import { type Claims, claimsFor, readToken, requireWithin, signToken } from "../../src/rack/tokens.ts";
import { Room } from "../../src/room.ts";
import { splitArgs } from "../../src/server/api/builds.ts";
import { makeCertificate } from "../../src/server/self-signed.ts";

test("build args that came joined are taken apart where a new one begins", () => {
  expect(splitArgs("")).toEqual([]);
  expect(splitArgs("A=1")).toEqual(["A=1"]);
  expect(splitArgs("A=1,B=x,y")).toEqual(["A=1", "B=x,y"]);
  expect(splitArgs("A=1,two,BUILD_ID,B=https://x/?q=1,2")).toEqual([
    "A=1,two",
    "BUILD_ID",
    "B=https://x/?q=1,2",
  ]);
  expect(splitArgs("BUILD_ID,BUILD_APP")).toEqual(["BUILD_ID", "BUILD_APP"]);
});

test("a token says what it was made for until it ends, and no changed one is taken", () => {
  const now = new Date("2026-01-01T00:00:00Z");
  const token = signToken(claimsFor({ role: "write", hours: 1, name: "ci" }, "TAAAAAAAAAA", now), "secret");
  expect(readToken(token, "secret", now)).toMatchObject({ user: "ci-write", role: "rw" });
  expect(() => readToken(token, "other", now)).toThrow("signature is invalid");
  expect(() => readToken(token, "secret", new Date("2026-01-01T01:00:01Z"))).toThrow("token is expired");
  const [header, , signature] = token.split(".");
  const forged = Buffer.from(JSON.stringify({ user: "x", role: "rwa", expiresAt: 9e9 })).toString(
    "base64url",
  );
  expect(() => readToken(`${header}.${forged}.${signature}`, "secret", now)).toThrow("signature is invalid");
  const none = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
  expect(() => readToken(`${none}.${forged}.`, "secret", now)).toThrow("signature is invalid");
  for (const hours of [0, 8761, 1.5])
    expect(() => claimsFor({ role: "read", hours }, "T", now)).toThrow("it lives from 1");
});

test("a token's name is a few plain characters", () => {
  const now = new Date("2026-01-01T00:00:00Z");
  const named = (name: string) => () => claimsFor({ role: "read", hours: 1, name }, "T", now);
  for (const name of ["ci", "a.b@c", "x".repeat(63)]) expect(named(name)().user).toBe(`${name}-read`);
  for (const name of ["", "a\nb", "\x1b[31mred", "a b", "-a", "x".repeat(64), "ä"])
    expect(named(name)).toThrow("a name is letters");
});

test("a token makes none that may more than itself, or that outlives it", () => {
  const now = new Date("2026-01-01T00:00:00Z");
  const hour = 3_600_000;
  const roles: Claims["role"][] = ["r", "rw", "rwa", "deploy"];
  const made = (own: Claims["role"], role: Claims["role"], hours: number): boolean => {
    const claims = { user: "x", role, expiresAt: now.getTime() / 1000 + hours * 3600 };
    const token = { id: "T", role: own, until: now.getTime() + 2 * hour };
    try {
      requireWithin(claims, { name: "x", token }, now);
      return true;
    } catch {
      return false;
    }
  };
  const table = Object.fromEntries(
    roles.map((own) => [own, roles.filter((role) => made(own, role, 1)).join(" ")]),
  );
  expect(table).toEqual({ r: "r", rw: "r rw deploy", rwa: "r rw rwa deploy", deploy: "" });
  expect([made("rwa", "r", 2), made("rwa", "r", 3)]).toEqual([true, false]);
});

test("the app with the fewest running builds goes next, and only so many of one app wait", async () => {
  const order: string[] = [];
  const ends = new Map<string, () => void>();
  const queue = new BuildQueue({ running: 2, waiting: 3 });
  const add = (app: string, id: string): void =>
    queue.add(app, id, () => {
      order.push(id);
      const { promise, resolve } = Promise.withResolvers<void>();
      ends.set(id, resolve);
      return promise;
    });
  for (const [app, id] of [
    ["a", "a1"],
    ["a", "a2"],
    ["a", "a3"],
    ["a", "a4"],
    ["b", "b1"],
  ] as const)
    add(app, id);
  expect(order).toEqual(["a1", "a2"]);
  {
    using _ = queue.reserve("a");
    expect(() => queue.reserve("a")).toThrow("2 builds of app a are waiting already");
    using _b = queue.reserve("b");
  }
  const end = async (id: string): Promise<void> => {
    ends.get(id)?.();
    await Bun.sleep(1);
  };
  await end("a1");
  await end("a2");
  expect(order).toEqual(["a1", "a2", "b1", "a3"]);
  await end("b1");
  expect(order).toEqual(["a1", "a2", "b1", "a3", "a4"]);
  queue.reserve("a");
});

test("a certificate of our own is one that others read, for its names and its years", async () => {
  const now = new Date("2026-01-01T00:00:00Z");
  const { cert, key } = await makeCertificate(["rack.example.com", "10.0.0.1"], now);
  const read = new X509Certificate(cert);
  expect(read.subject).toBe("CN=davit rack");
  expect(read.verify(read.publicKey)).toBe(true);
  expect(read.subjectAltName).toContain("DNS:rack.example.com");
  expect(read.subjectAltName).toContain("IP Address:10.0.0.1");
  expect([
    new Date(read.validFrom).getTime() < now.getTime(),
    new Date(read.validTo).getUTCFullYear(),
  ]).toEqual([true, 2036]);
  expect(key).toStartWith("-----BEGIN PRIVATE KEY-----\n");
});

test("who finds too little room waits in order, and not too many do", async () => {
  const room = new Room(10);
  const first = await room.take(100);
  const order: number[] = [];
  const waiting = Array.from({ length: 32 }, async (_, i) => {
    using _room = await room.take(i === 0 ? 10 : 5);
    order.push(i);
  });
  await expect(room.take(1)).rejects.toThrow("too many requests of this login");
  first[Symbol.dispose]();
  await Promise.all(waiting);
  expect(order).toEqual(Array.from({ length: 32 }, (_, i) => i));
  expect(room.isEmpty).toBe(true);
});
