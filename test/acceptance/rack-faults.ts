import { mkdir, readdir } from "node:fs/promises";
import { connect } from "node:net";
import { PASSWORD, startRack } from "../support/convox.ts";
import { sandbox, sh } from "../support/davit.ts";
import { verdict } from "./verdict.ts";

/* A rack on a disk that fills up, and one whose client says nothing: one clear line, and the server stays up. */
const LOGIN = { authorization: `Basic ${Buffer.from(`convox:${PASSWORD}`).toString("base64")}` };
const PIECE = new Uint8Array(1_000_000).fill(7);

using box = sandbox();
await mkdir(box.join("home"));
await sh(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", box.join("home")]);
try {
  await box.ok(["apps", "create", "shop"]);
  await using rack = await startRack(box);
  await fullDisk(rack.url);
  await stalled(rack.url);
} finally {
  await sh(["umount", "-l", box.join("home")]);
}

async function alive(url: string): Promise<boolean> {
  return (await fetch(`${url}/apps/shop/builds`, { headers: LOGIN })).status === 200;
}

async function fullDisk(url: string): Promise<void> {
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (sent >= 10_000_000_000) return controller.close();
      sent += PIECE.byteLength;
      controller.enqueue(PIECE.slice());
    },
  });
  const init = { method: "POST", headers: LOGIN, body, duplex: "half" };
  const answer = await fetch(`${url}/apps/shop/objects/tmp/huge`, init);
  const text = await answer.text();
  const left = await readdir(box.join("home/racks/local/layout/ingest"));
  const small = await fetch(`${url}/apps/shop/objects/tmp/small`, {
    method: "POST",
    headers: LOGIN,
    body: "x",
  });
  verdict(
    answer.status === 507 &&
      /^[^\n]*[Nn]o space[^\n]*\n$|ENOSPC/.test(text) &&
      left.length === 0 &&
      small.ok &&
      (await alive(url)),
    "10 GB to a disk of 200 MB is refused in one line, its space is free again, and the server goes on",
    `${answer.status} ${text.trim()}; ${left.length} halves left; then ${small.status}`,
  );
}

async function stalled(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const began = performance.now();
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on("error", () => resolve());
  socket.on("close", () => resolve());
  socket.write(
    `POST /apps/shop/objects/tmp/slow HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: ${LOGIN.authorization}\r\nContent-Length: 1000000\r\n\r\nslow`,
  );
  await Promise.race([promise, Bun.sleep(200_000)]);
  const seconds = (performance.now() - began) / 1000;
  socket.destroy();
  await Bun.sleep(1000);
  const left = await readdir(box.join("home/racks/local/layout/ingest"));
  verdict(
    seconds < 180 && left.length === 0 && (await alive(url)),
    "a client that stalls is sent away, and nothing of it is left",
    `after ${seconds.toFixed(0)} s, ${left.length} halves left`,
  );
}
