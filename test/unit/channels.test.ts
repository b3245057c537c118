import { expect, test } from "bun:test";
import fc from "fast-check";
import { Channel, Channels } from "../../src/http/channels.ts";

/* The streams of a process over one web socket. */

/** Two ends, and how much content is between them. */
function pair() {
  const never = new AbortController().signal;
  const seen = { most: 0, between: 0 };
  const ends: { left: Channels; right: Channels } = {
    left: new Channels((frame) => {
      if (frame[0] === Channel.stdin) seen.between += frame.byteLength - 1;
      seen.most = Math.max(seen.most, seen.between);
      ends.right.receive(frame);
    }, never),
    right: new Channels((frame) => ends.left.receive(frame), never),
  };
  return { ...ends, seen };
}

test("content arrives whole and in order, however it is cut, and never more is under way than there is room for", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 400_000 }), { maxLength: 12 }), async (sizes) => {
      const { left, right, seen } = pair();
      const [sent, got] = [new Bun.CryptoHasher("sha256"), new Bun.CryptoHasher("sha256")];
      const send = async (): Promise<void> => {
        for (const [i, size] of sizes.entries()) {
          const bytes = new Uint8Array(size).fill(i + 1);
          sent.update(bytes);
          await left.write(Channel.stdin, bytes);
        }
        left.close(Channel.stdin);
      };
      const sending = send();
      for await (const { channel, content } of right.received()) {
        expect(channel).toBe(Channel.stdin);
        expect(content.byteLength).toBeLessThanOrEqual(32 * 1024);
        got.update(content);
        seen.between -= content.byteLength;
        await Promise.resolve();
      }
      await sending;
      expect(got.digest("hex")).toBe(sent.digest("hex"));
      expect(seen.most).toBeLessThanOrEqual(1024 * 1024);
    }),
    { numRuns: 50 },
  );
});

test("who sends more than there is room for is not listened to", () => {
  const { right } = pair();
  const frame = new Uint8Array(32 * 1024);
  expect(() => {
    for (let i = 0; i < 100; i++) right.receive(frame);
  }).toThrow("more than it may");
});

test.each([
  ["a size that is none", [Channel.resize, ..."{}"]],
  ["a size of nothing", [Channel.resize, ...'{"columns":0,"rows":1}']],
  ["what was taken, less than nothing", [Channel.taken, ...'{"bytes":-1}']],
  ["no JSON", [Channel.taken, ..."x"]],
])("%s is refused", (_, parts) => {
  const frame = new Uint8Array(parts.map((part) => (typeof part === "string" ? part.charCodeAt(0) : part)));
  expect(() => pair().left.receive(frame)).toThrow("Cannot read a frame of the socket");
});

test("waiting for room ends when the other side has gone", async () => {
  const gone = new AbortController();
  const left = new Channels(() => undefined, gone.signal);
  const writing = left.write(Channel.stdin, new Uint8Array(2 * 1024 * 1024));
  gone.abort(new Error("it has gone"));
  expect(writing).rejects.toThrow("it has gone");
});
