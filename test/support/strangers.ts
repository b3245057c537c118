import { expect } from "bun:test";
import { startRack } from "./convox.ts";
import { DOCKER, sh } from "./davit.ts";
import { caddyImage } from "./debian-images.ts";
import { project } from "./projects.ts";
import { freePort } from "./registry.ts";
import { swarmRack, webProject } from "./swarm.ts";

export type StrangerApp = "shop" | "evil";

/** A served rack with a router, and two apps of people who do not know each other, each with a key of its own. */
export async function strangers() {
  const rack = await swarmRack();
  const http = await freePort();
  const params = [`RouterHttpPort=${http}`, `RouterImage=${await caddyImage()}`, "RouterDomain=apps.test"];
  await rack.ok(["rack", "params", "set", ...params]);
  const server = await startRack(rack.box, rack.rack);
  const admin = { DAVIT_RACK: undefined, RACK_URL: server.rackUrl };
  const keyOf = async (app: string) => {
    await rack.box.ok(["apps", "create", app], { env: admin });
    const token = (await rack.box.ok(["rack", "token", "--for-app", app], { env: admin })).trim();
    return { DAVIT_RACK: undefined, RACK_URL: server.at(`jwt:${token}`) };
  };
  const keys = { shop: await keyOf("shop"), evil: await keyOf("evil") };
  const get = async (host: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${http}/`, { headers: { host } });
    return `${response.status} ${(await response.text()).trim()}`;
  };
  return {
    ...{ rack, admin, keys, http, get },
    /** Deploys a web server that answers with its app's name; `more` is files instead of its own. */
    deploy: async (app: StrangerApp, yml: string, more: Record<string, string> = {}) => {
      const dir = await webProject(rack.box.join(app), app, yml);
      await project(dir, more);
      return await rack.box.run(["deploy", "-a", app], { cwd: dir, env: keys[app] });
    },
    /** A served rack tells its router a moment after a release runs. */
    expectSoon: async (host: string, answer: string): Promise<void> => {
      for (let tries = 0; tries < 50 && (await get(host).catch(String)) !== answer; tries++)
        await Bun.sleep(200);
      expect([host, await get(host)]).toEqual([host, answer]);
    },
    container: async (app: StrangerApp): Promise<string> =>
      (await sh([DOCKER, "ps", "-q", "--filter", `name=${rack.rack}_${app}_web.`])).trim(),
    inside: (id: string, ...command: string[]): Promise<string> =>
      sh([DOCKER, "exec", id, "/bin/busybox", ...command]).catch(String),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rack[Symbol.asyncDispose]();
    },
  };
}
