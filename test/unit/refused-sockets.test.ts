import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { parseRackUrl, RackClient } from "../../src/rack/rack-client.ts";
import { ADMIN, servedRack } from "../support/served-rack.ts";

/** Begins a web socket's handshake, and then neither sends nor closes anything. */
function silentSocket(url: string, headers: Record<string, string> = {}) {
  const { hostname, port } = new URL(url);
  const socket: Socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(
    `GET /system/logs HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${btoa("0123456789abcdef")}\r\n${lines.join("")}\r\n`,
  );
  let text = "";
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  socket.on("data", (data) => {
    text += data.toString("latin1");
  });
  socket.on("error", () => resolve());
  socket.on("end", () => resolve());
  return { ended, text: () => text, close: () => socket.destroy() };
}

test("a thousand sockets of who has not logged in are told so, and gone at once", async () => {
  await using server = await servedRack();
  const began = performance.now();
  const silent = Array.from({ length: 1000 }, () => silentSocket(server.url));
  await Promise.all(silent.map(({ ended }) => ended));
  expect(performance.now() - began).toBeLessThan(20_000);
  const upgraded = silent.filter(({ text }) => text().startsWith("HTTP/1.1 101"));
  expect(upgraded.length).toBeGreaterThan(0);
  for (const { text } of upgraded) expect(text()).toContain("ERROR: invalid authentication\n");
  const others = silent.filter(({ text }) => !text().startsWith("HTTP/1.1 101"));
  for (const { text } of others) expect(text()).toStartWith("HTTP/1.1 401");
  expect((await server.ask(ADMIN, "GET", "/apps")).status).toBe(200);
  for (const { close } of silent) close();
}, 30_000);

test("a davit that is not logged in is refused before its socket opens, and says why", async () => {
  await using server = await servedRack();
  const refused = silentSocket(server.url, { "user-agent": "davit" });
  await Bun.sleep(200);
  expect(refused.text()).toStartWith("HTTP/1.1 401");
  refused.close();
  const client = new RackClient(parseRackUrl("team", server.url.replace("://", "://x:wrong@")));
  const read = async (): Promise<void> => {
    for await (const _ of client.socket("/system/logs")) return;
  };
  await expect(read()).rejects.toThrow("invalid authentication");
});
