import { expect, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { WindowFix } from "../../src/docker-api/h2-windows.ts";
import { tempDir } from "../support/temp.ts";

/** Two ends of a connection. */
async function socketPair() {
  const dir = tempDir();
  const path = dir.join("pair.sock");
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = createServer(resolve).listen(path);
  const near = connect(path);
  const far = await promise;
  return {
    ...{ near, far },
    [Symbol.dispose]: () => {
      near.destroy();
      far.destroy();
      server.close();
      dir[Symbol.dispose]();
    },
  };
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.byteLength, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

function settings(window: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(4, 0);
  payload.writeUInt32BE(window, 2);
  return frame(4, 0, 0, payload);
}

function update(stream: number, increment: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(increment);
  return frame(8, 0, stream, payload);
}

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const headers = (stream: number) => frame(1, 4, stream, Buffer.from("h"));

test.each([1, 7, 10_000])(
  "a raised initial window reaches streams as updates, in pieces of %p bytes",
  async (size) => {
    using pair = await socketPair();
    const sent = Buffer.concat([
      PREFACE,
      settings(100),
      headers(1),
      settings(250),
      headers(3),
      frame(3, 0, 1, Buffer.alloc(4)),
      settings(300),
    ]);
    const expected = Buffer.concat([
      PREFACE,
      settings(100),
      headers(1),
      Buffer.concat([settings(100), update(1, 150)]),
      Buffer.concat([headers(3), update(3, 150)]),
      frame(3, 0, 1, Buffer.alloc(4)),
      Buffer.concat([settings(100), update(3, 50)]),
    ]);
    const fix = new WindowFix(pair.near, sent.subarray(0, 5), true);
    const got: Buffer[] = [];
    fix.on("data", (chunk: Buffer) => got.push(chunk));
    for (let at = 5; at < sent.byteLength; at += size) {
      pair.far.write(sent.subarray(at, at + size));
      if (size < 100) await Bun.sleep(0);
    }
    for (let tries = 0; tries < 100 && Buffer.concat(got).byteLength < expected.byteLength; tries++)
      await Bun.sleep(5);
    expect(Buffer.concat(got).toString("hex")).toBe(expected.toString("hex"));
  },
);

test("what is written goes out unchanged, and an acknowledgement passes", async () => {
  using pair = await socketPair();
  const fix = new WindowFix(pair.near, Buffer.alloc(0), false);
  const ack = frame(4, 1, 0, Buffer.alloc(0));
  const received = Promise.withResolvers<Buffer>();
  pair.far.once("data", (chunk) => received.resolve(Buffer.from(chunk)));
  fix.write("hello");
  expect((await received.promise).toString()).toBe("hello");
  const echoed = Promise.withResolvers<Buffer>();
  fix.once("data", (chunk: Buffer) => echoed.resolve(chunk));
  pair.far.write(ack);
  expect((await echoed.promise).toString("hex")).toBe(ack.toString("hex"));
});
