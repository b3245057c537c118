import { type Bytes, encode } from "../../src/bytes.ts";
import { type NewEntry, writeTar } from "../../src/tar/write.ts";
import { startRack } from "./convox.ts";
import { sandbox } from "./davit.ts";

/** A rack that is attacked with a deploy key, and an idle one to compare it with. */
export interface Target extends AsyncDisposable {
  url: string;
  control: string;
  pid: number;
  ask(method: string, path: string, body?: BodyInit, headers?: Record<string, string>): Promise<number>;
  /** Uploads an archive as a source and waits until its build has ended. */
  build(archive: Uint8Array<ArrayBuffer>): Promise<number[]>;
  kill(signal: NodeJS.Signals): Promise<number>;
}

const APP = "shop";

export async function startTarget(): Promise<Target> {
  const box = sandbox();
  const engine = talkOnly(box.join("engine.sock"));
  await box.ok(["apps", "create", APP]);
  const env = { DOCKER_HOST: `unix://${box.join("engine.sock")}` };
  const rack = await startRack(box, "local", undefined, [], env);
  const idle = await startRack(box, "idle", undefined, [], env);
  const token = (await box.ok(["rack", "token", "--for-app", APP])).trim();
  const login = { authorization: `Basic ${Buffer.from(`jwt:${token}`).toString("base64")}` };
  const ask: Target["ask"] = async (method, path, body, headers = {}) => {
    const init = { method, headers: { ...login, ...headers }, ...(body === undefined ? {} : { body }) };
    const response = await fetch(`${rack.url}${path}`, { ...init, signal: AbortSignal.timeout(60_000) });
    await response.arrayBuffer();
    return response.status;
  };
  const build = async (archive: Uint8Array<ArrayBuffer>): Promise<number[]> => {
    const key = `tmp/${crypto.randomUUID()}.tgz`;
    const stored = await ask("POST", `/apps/${APP}/objects/${key}`, archive);
    const fields = new URLSearchParams({ url: `object://${APP}/${key}` });
    const response = await fetch(`${rack.url}/apps/${APP}/builds`, {
      method: "POST",
      headers: login,
      body: fields,
    });
    const begun = await response.text();
    if (!response.ok) return [stored, response.status];
    const { id } = JSON.parse(begun);
    for (let i = 0; i < 1200; i++) {
      const state = await (await fetch(`${rack.url}/apps/${APP}/builds/${id}`, { headers: login })).text();
      if (!/"status":\s*"(created|running|pending)"/.test(state)) break;
      await Bun.sleep(25);
    }
    return [stored, response.status];
  };
  return {
    ...{ login, url: rack.url, control: idle.url, pid: rack.pid, ask, build, kill: rack.kill },
    async [Symbol.asyncDispose]() {
      await rack[Symbol.asyncDispose]();
      await idle[Symbol.asyncDispose]();
      await engine.stop(true);
      box[Symbol.dispose]();
    },
  };
}

/** An engine that answers for its version, reads a build's context, and fails the build. */
function talkOnly(unix: string) {
  return Bun.serve({
    unix,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname.endsWith("/version"))
        return Response.json({ Version: "20.10.0", ApiVersion: "1.41", Os: "linux", Arch: "amd64" });
      if (pathname.endsWith("/_ping")) return new Response("OK", { headers: { "api-version": "1.41" } });
      for await (const _ of request.body ?? []);
      return Response.json({ message: "buildkit not supported" }, { status: 404 });
    },
  });
}

/** Files as a compressed archive. */
export async function archiveOf(
  files: Record<string, string>,
  more: NewEntry[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const entries: NewEntry[] = Object.entries(files).map(([name, text]) => {
    const bytes = encode(text);
    return { name, type: "file", size: bytes.byteLength, body: () => once(bytes) };
  });
  const chunks = await Array.fromAsync(writeTar([...entries, ...more]));
  return Bun.gzipSync(Buffer.concat(chunks));
}

async function* once(bytes: Bytes): AsyncGenerator<Bytes> {
  yield bytes;
}
