import { cp, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** The base of every test image: one static binary, so that nothing has to be pulled. */
export const BUSYBOX = Bun.which("busybox") ?? "/bin/busybox";

/** Writes a project's files; `busybox: true` puts the binary beside each Dockerfile. */
export async function project(dir: string, files: Record<string, string>): Promise<string> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), text);
    if (/Dockerfile/.test(name)) await cp(BUSYBOX, join(dir, dirname(name), "busybox"));
  }
  return dir;
}

export const BASE =
  'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n';

/** Two services with Dockerfiles and build args of their own, and one that names an image. */
export function threeServices(image: string): Record<string, string> {
  return {
    "convox.yml": `services:
  web:
    build: ./web
    port: 3000
  api:
    build:
      path: ./api
      manifest: Dockerfile.api
      args:
        - FLAVOR=vanilla
  cache:
    image: ${image}
`,
    "web/Dockerfile": `${BASE}ARG VERSION=none\nARG BUILD_ID\nRUN echo "web $VERSION $BUILD_ID" > /version\nENTRYPOINT ["/bin/sh", "-c"]\nCMD ["cat /version"]\n`,
    "api/Dockerfile.api": `${BASE}ARG FLAVOR\nRUN echo "api $FLAVOR" > /version\nCMD ["cat", "/version"]\n`,
  };
}
