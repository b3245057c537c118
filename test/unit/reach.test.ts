import { expect, test } from "bun:test";
import { reachable } from "../../src/http/reach.ts";
import { request } from "../../src/http/request.ts";
import { ADMIN, servedRack } from "../support/served-rack.ts";

/* What a deploy key may have the rack's server fetch. */

const PUBLIC = { hosts: [] };

test("only public addresses are reached, and those that are named, however they are written", async () => {
  const refused = [
    ...[
      "127.0.0.1",
      "localhost",
      "LOCALHOST.",
      "[::1]",
      "[::ffff:127.0.0.1]",
      "0x7f.1",
      "2130706433",
      "0.0.0.0",
    ],
    ...["10.1.2.3", "172.17.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "[fd00::1]", "[fe80::1]"],
    ...["224.0.0.1", "255.255.255.255", "[ff02::1]", "[64:ff9b::7f00:1]", "no-such-host.invalid"],
  ];
  for (const host of refused)
    await expect(reachable(new URL(`https://${host}/v2/`), PUBLIC)).rejects.toThrow(
      "not on the public Internet",
    );
  expect(await reachable(new URL("https://8.8.8.8/"), PUBLIC)).toBe("8.8.8.8");
  const named = { hosts: ["127.0.0.1:5000"] };
  expect(await reachable(new URL("http://127.0.0.1:5000/"), named)).toBeUndefined();
  await expect(reachable(new URL("http://127.0.0.1:5001/"), named)).rejects.toThrow("public Internet");
});

test("a redirect leads to no other place than the request itself might", async () => {
  let asked = 0;
  using inner = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(`${asked++}`) });
  using outer = Bun.serve({
    ...{ port: 0, hostname: "127.0.0.1" },
    fetch: () => Response.redirect(`http://127.0.0.1:${inner.port}/`),
  });
  const reach = { hosts: [`127.0.0.1:${outer.port}`] };
  await expect(request(`http://127.0.0.1:${outer.port}/`, { reach })).rejects.toThrow("public Internet");
  expect(asked).toBe(0);
});

test("a key learns nothing of the server's network: closed, refused, absent and forbidden read alike", async () => {
  await using server = await servedRack();
  await server.rack.createApp("shop");
  const key = `jwt:${await server.rack.createToken({ role: "write", hours: 1, apps: ["shop"] })}`;
  const seen: string[] = [];
  const answering = (status: number) =>
    Bun.serve({
      ...{ port: 0, hostname: "127.0.0.1" },
      fetch: ({ url }) => {
        seen.push(url);
        return new Response(null, { status });
      },
    });
  using closed = answering(200);
  closed.stop(true);
  using unauthorized = answering(401);
  using absent = answering(404);
  const hosts = [closed, unauthorized, absent].map(({ port }) => `127.0.0.1:${port}`);
  const reasonOf = async (login: string, host: string): Promise<string> => {
    const form = { external: "true", url: "" };
    const { id } = JSON.parse((await server.ask(login, "POST", "/apps/shop/builds", form)).text);
    const path = `/apps/shop/builds/${id}`;
    await server.ask(login, "PUT", path, { manifest: "services:\n  web:\n    build: .\n" });
    const image = `${host}/team/web:1`;
    expect((await server.ask(login, "POST", `${path}/image`, { image })).status).toBe(202);
    for (;;) {
      const { status, reason } = JSON.parse((await server.ask(login, "GET", path)).text);
      if (status === "failed") return reason.replace(image, "IMAGE");
      await Bun.sleep(20);
    }
  };
  const withheld = "Cannot fetch IMAGE: it is not there, or not for this login";
  for (const host of hosts) expect(await reasonOf(key, host)).toBe(withheld);
  expect(seen).toEqual([]);
  await server.rack.setParams({ ImportFrom: hosts.join(",") });
  for (const host of hosts.slice(1)) expect(await reasonOf(key, host)).toBe(withheld);
  expect(seen.length).toBeGreaterThan(0);
  expect(await reasonOf(ADMIN, hosts[2] ?? "")).not.toBe(withheld);
}, 30_000);
