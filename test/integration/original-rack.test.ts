import { expect, test } from "bun:test";
import { sandbox } from "../support/davit.ts";

/* Commands in a rack of the original's: what it says over its sockets was recorded, and is said here again. */

const EXIT = "F1E49A85-0AD7-4AEF-A618-C249C6E6568D";

interface Dialogue {
  /** What its socket sends once the input has ended. */
  answers: (string | Uint8Array)[];
}

/** One that runs a process, and answers over its socket. */
function originalRack({ answers }: Dialogue) {
  const asked: string[] = [];
  const input: string[] = [];
  let looks = 0;
  const app = { name: "shop", status: "running", release: "RABCDEFGHIJ", generation: "3" };
  const process = { id: "web-1", app: "shop", name: "web", release: "RABCDEFGHIJ" };
  const server = Bun.serve<{ path: string }>({
    port: 0,
    fetch(request, server) {
      const { pathname } = new URL(request.url);
      const header = (name: string): string => request.headers.get(name) ?? "";
      asked.push(
        `${request.method} ${pathname} ${header("command")} ${header("tty")} ${header("entrypoint")}`.trim(),
      );
      if (header("upgrade") && pathname.endsWith("/exec"))
        return server.upgrade(request, { data: { path: pathname } })
          ? undefined
          : new Response(null, { status: 400 });
      if (pathname === "/system")
        return Response.json({ name: "east", version: "3.24.6", status: "running" });
      if (pathname === "/apps/shop") return Response.json(app);
      if (pathname.endsWith("/services/web/processes"))
        return Response.json({ ...process, status: "pending" });
      if (pathname.endsWith("/processes/web-1") && request.method === "DELETE") return new Response("ok\n");
      if (pathname.endsWith("/processes/web-1"))
        return Response.json({ ...process, status: looks++ < 1 ? "pending" : "running" });
      return new Response(null, { status: 404 });
    },
    websocket: {
      message(socket, frame) {
        if (typeof frame === "string") return void input.push(frame);
        for (const answer of answers)
          if (typeof answer === "string") socket.sendText(answer);
          else if (answer.byteLength === 0) socket.sendBinary(answer);
          else socket.terminate();
      },
    },
  });
  return {
    asked,
    input,
    url: `http://convox:pw@127.0.0.1:${server.port}`,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

const END = new Uint8Array(0);
const CUT = new Uint8Array(1);

test("exec speaks the original's dialect: text both ways, the exit code in a frame of its own", async () => {
  using box = sandbox();
  using rack = originalRack({ answers: ["hällo\n", `${EXIT}:7\n`, END] });
  const args = ["exec", "web-1", "-a", "shop", "--", "sh", "-c", "cat; exit 7"];
  const done = await box.run(args, { env: { RACK_URL: rack.url }, stdin: "ä line\n" });
  expect(done).toEqual({ code: 7, stdout: "hällo\n", stderr: "" });
  expect(rack.input.join("")).toBe("ä line\n");
  expect(rack.asked.at(-1)).toBe("GET /apps/shop/processes/web-1/exec sh -c 'cat; exit 7' false");
});

test("run in a rack without a socket for it waits for a process, runs beside it, and ends it", async () => {
  using box = sandbox();
  using rack = originalRack({ answers: ["done\n", `${EXIT}:0\n`, END] });
  const args = ["run", "web", "-a", "shop", "--", "rake", "db:migrate"];
  expect(await box.run(args, { env: { RACK_URL: rack.url }, stdin: "" })).toEqual({
    code: 0,
    stdout: "done\n",
    stderr: "",
  });
  expect(rack.asked.filter((line) => line.includes("process"))).toEqual([
    "POST /apps/shop/services/web/processes sleep 3600",
    "GET /apps/shop/processes/web-1",
    "GET /apps/shop/processes/web-1",
    "GET /apps/shop/processes/web-1/exec rake db:migrate false true",
    "DELETE /apps/shop/processes/web-1",
  ]);
});

const endings: [string, Dialogue["answers"], RegExp][] = [
  [
    "an error that is told",
    ["ERROR: process not found: web-1\n", END],
    /^error: process not found: web-1\n$/,
  ],
  ["an end without an exit code", ["half\n", END], /^error: The connection to rack \S+ broke off\nhint: /],
  ["a connection that breaks", ["half\n", CUT], /^error: The connection to rack \S+ broke off\nhint: /],
];
test.each(endings)("%s is a failure", async (_, answers, why) => {
  using box = sandbox();
  using rack = originalRack({ answers });
  const failed = await box.run(["exec", "web-1", "-a", "shop", "cat"], {
    env: { RACK_URL: rack.url },
    stdin: "",
  });
  expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(why)]);
});

test("a command that no line can hold is refused where there is only a line for it", async () => {
  using box = sandbox();
  using rack = originalRack({ answers: [END] });
  const args = ["exec", "web-1", "-a", "shop", "--", "sh", "-c", "echo ä\necho b"];
  const failed = await box.run(args, { env: { RACK_URL: rack.url }, stdin: "" });
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringMatching(/takes no such command/) });
});
