import { BASE, project } from "./projects.ts";

/** A project of a web server and a worker; the web server answers with a word. */
export async function webProject(dir: string, word: string, yml = SHOP): Promise<string> {
  return await project(dir, {
    "convox.yml": yml,
    Dockerfile: `${BASE}COPY www /www\nCMD ["/bin/busybox", "httpd", "-f", "-p", "3000", "-h", "/www"]\n`,
    "www/index.html": word,
  });
}

const SMALL = "scale: {cpu: 10, memory: 32}";

export const SHOP = `services:
  web:
    build: .
    port: 3000
    health: {path: /, interval: 1, grace: 2}
    termination: {grace: 1}
    ${SMALL}
  worker:
    build: .
    command: /bin/busybox sleep 100000
    termination: {grace: 1}
    ${SMALL}
`;
