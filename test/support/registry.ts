import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tempDir } from "./temp.ts";

/** Debian's docker-registry on a free port of loopback. */
export async function startRegistry(): Promise<AsyncDisposable & { host: string }> {
  const dir = tempDir();
  const port = await freePort();
  await mkdir(dir.join("data"));
  const config = `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${dir.join("data")}}}\nhttp: {addr: "127.0.0.1:${port}"}\n`;
  await writeFile(dir.join("config.yml"), config);
  const server = Bun.spawn(["docker-registry", "serve", dir.join("config.yml")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const host = `127.0.0.1:${port}`;
  for (let tries = 0; tries < 200; tries++) {
    if (
      await fetch(`http://${host}/v2/`).then(
        (response) => response.ok,
        () => false,
      )
    )
      break;
    await Bun.sleep(50);
  }
  return {
    host,
    [Symbol.asyncDispose]: async () => {
      server.kill();
      await server.exited;
      dir[Symbol.dispose]();
    },
  };
}

export async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer().listen(0, "127.0.0.1", () => {
    const address = server.address();
    const port = typeof address === "object" && address ? address.port : 0;
    server.close(() => resolve(port));
  });
  return await promise;
}
