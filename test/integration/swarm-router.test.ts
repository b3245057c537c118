import { afterEach, beforeEach, expect, test } from "bun:test";
import { DOCKER, sh } from "../support/davit.ts";
import { caddyImage } from "../support/debian-images.ts";
import { freePort } from "../support/registry.ts";
import { SHOP, type SwarmRack, swarmRack, webProject } from "../support/swarm.ts";

/* Routed services behind a real Caddy. */

const LONG = 120_000;

let shop: SwarmRack;
beforeEach(async () => {
  shop = await swarmRack();
});
afterEach(async () => await shop[Symbol.asyncDispose]());

test(
  "the world reaches routed services by name, and misses nothing while a release replaces another",
  async () => {
    const [http, image] = [await freePort(), await caddyImage()];
    await shop.ok([
      "rack",
      "params",
      "set",
      "RouterDomain=apps.test",
      `RouterHttpPort=${http}`,
      `RouterImage=${image}`,
    ]);
    const dir = await webProject(shop.box.join("shop"), "one");
    await shop.ok(["deploy"], dir);
    const get = async (host: string): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${http}/`, { headers: { host } });
      return `${response.status} ${(await response.text()).trim()}`;
    };
    expect(await get("web.shop.apps.test")).toBe("200 one");
    expect(await get("worker.shop.apps.test")).toBe("404 no such service");
    const router = await sh([DOCKER, "ps", "-q", "--filter", `name=${shop.rack}_router`]);
    const answers = new Map<string, number>();
    let stop = false;
    const asking = Array.from({ length: 4 }, async () => {
      while (!stop) {
        const said = await get("web.shop.apps.test").catch(String);
        answers.set(said, (answers.get(said) ?? 0) + 1);
      }
    });
    await webProject(
      dir,
      "two",
      SHOP.replace("    command: /bin/busybox sleep 100000", "    domain: shop.test\n    port: 3000"),
    );
    await shop.ok(["deploy"], dir);
    stop = true;
    await Promise.all(asking);
    expect([...answers.keys()].sort()).toEqual(["200 one", "200 two"]);
    expect(await get("shop.test")).toBe("200 two");
    expect(await sh([DOCKER, "ps", "-q", "--filter", `name=${shop.rack}_router`])).toBe(router);
    await shop.ok(["apps", "delete", "shop", "--yes"]);
    expect(await get("web.shop.apps.test")).toBe("404 no such service");
  },
  LONG,
);
