import { expect, test } from "bun:test";
import { chmod, writeFile } from "node:fs/promises";
import { PROGRAMS } from "../../src/runtime/inside/programs.ts";
import { tempDir } from "../support/temp.ts";

/* The program that asks a service whether it is well. */

const GET = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;

async function probe(...args: string[]): Promise<number> {
  using dir = tempDir();
  await writeFile(
    dir.join("probe"),
    Buffer.from(PROGRAMS[process.arch === "arm64" ? "arm64" : "amd64"]?.probe ?? "", "base64"),
  );
  await chmod(dir.join("probe"), 0o755);
  return await Bun.spawn([dir.join("probe"), ...args]).exited;
}

test("a service that answers with success, or sends elsewhere, is well", async () => {
  await using server = Bun.serve({
    ...{ port: 0, hostname: "0.0.0.0" },
    fetch: (request) => new Response(null, { status: Number(new URL(request.url).pathname.slice(1)) }),
  });
  const port = String(server.port);
  const codes = await Promise.all(
    ["200", "204", "301", "399", "404", "500"].map((status) => probe(port, GET(`/${status}`))),
  );
  expect(codes).toEqual([0, 0, 0, 0, 1, 1]);
});

test("a service without HTTP is well when it listens, and one that does not listen is not", async () => {
  const server = Bun.listen({
    port: 0,
    hostname: "0.0.0.0",
    socket: { data: (socket) => void socket.end("no\n") },
  });
  expect(await probe(String(server.port))).toBe(0);
  expect(await probe(String(server.port), GET("/"))).toBe(1);
  server.stop(true);
  expect(await probe(String(server.port))).toBe(1);
  expect(await probe()).toBe(2);
});

test("all programs are small, static ELF, and run here", async () => {
  for (const [machine, name] of [
    [62, "amd64"],
    [183, "arm64"],
  ] as const)
    for (const program of Object.values(PROGRAMS[name] ?? {})) {
      const bytes = Buffer.from(program, "base64");
      expect(bytes.subarray(0, 4).toString("latin1")).toBe("\x7fELF");
      expect(bytes.readUInt16LE(18)).toBe(machine);
      expect(bytes.byteLength).toBeLessThan(2000);
    }
});
