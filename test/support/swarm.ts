import { DOCKER, sandbox, sh } from "./davit.ts";
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

export type SwarmRack = Awaited<ReturnType<typeof swarmRack>>;

/** An embedded rack that runs what it promotes. Services of other tests and racks are not its to look at. */
export async function swarmRack(more: Record<string, string> = {}) {
  const box = sandbox();
  const rack = `r${crypto.randomUUID().slice(0, 6)}`;
  const env = { DAVIT_RACK: rack, ...more };
  await box.ok(["racks", "add", rack], { env: more });
  await box.ok(["rack", "install"], { env });
  const options = (cwd?: string) => ({ env, ...(cwd ? { cwd } : {}) });
  const lines = async (command: string[]): Promise<string[]> =>
    (await sh(command)).split("\n").filter(Boolean);
  /** What a service's healthy containers answer to one that asks from inside them. */
  const answer = async (service: string): Promise<string> => {
    const name = `name=${rack}_shop_${service}.`;
    const ids = await lines([DOCKER, "ps", "-q", "--filter", name, "--filter", "health=healthy"]);
    const get = ["/bin/busybox", "wget", "-qO-", "http://127.0.0.1:3000/"];
    // One that is on its way out may have gone since it was listed.
    const answers = await Promise.all(ids.map((id) => sh([DOCKER, "exec", id, ...get]).catch(() => [])));
    return [...new Set(answers.flat())].join(" ");
  };
  return {
    ...{ box, rack, env, answer },
    run: (args: string[], cwd?: string) => box.run(args, options(cwd)),
    ok: (args: string[], cwd?: string) => box.ok(args, options(cwd)),
    json: (args: string[], cwd?: string) => box.json(args, options(cwd)),
    async [Symbol.asyncDispose]() {
      const services = await lines([DOCKER, "service", "ls", "-q", "--filter", `name=${rack}_`]);
      if (services.length > 0) await sh([DOCKER, "service", "rm", ...services]);
      const router = await lines([DOCKER, "ps", "-aq", "--filter", `name=${rack}_router`]);
      if (router.length > 0) await sh([DOCKER, "rm", "-f", ...router]);
      box[Symbol.dispose]();
    },
  };
}
