import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tempDir } from "./temp.ts";

/** Debian's docker-registry on a free port of loopback, for anyone or for one user. */
export async function startRegistry(
  user?: { name: string; password: string },
  program = "docker-registry",
): Promise<AsyncDisposable & { host: string }> {
  const dir = tempDir();
  const port = await freePort();
  await mkdir(dir.join("data"));
  const config = `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${dir.join("data")}}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:${port}"}\n`;
  const auth = user ? `auth: {htpasswd: {realm: test, path: ${dir.join("htpasswd")}}}\n` : "";
  if (user) {
    const hash = await Bun.password.hash(user.password, { algorithm: "bcrypt", cost: 4 });
    await writeFile(dir.join("htpasswd"), `${user.name}:${hash}\n`);
  }
  await writeFile(dir.join("config.yml"), config + auth);
  const server = Bun.spawn([program, "serve", dir.join("config.yml")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  const host = `127.0.0.1:${port}`;
  for (let tries = 0; tries < 200; tries++) {
    if (
      await fetch(`http://${host}/v2/`).then(
        (response) => response.status < 500,
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
