import { expect, test } from "bun:test";
import { MANIFEST } from "../support/bundles.ts";
import { ADMIN, servedRack } from "../support/served-rack.ts";

/** A registry that takes its time with every answer. */
function slowRegistry() {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async () => {
      await Bun.sleep(500);
      return new Response("unknown", { status: 404 });
    },
  });
  return {
    image: `127.0.0.1:${server.port}/none:1`,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

test("of imports that come at once a build gets one, and the rack no more than it takes", async () => {
  await using served = await servedRack();
  await using registry = slowRegistry();
  await served.rack.createApp("shop");
  const open = async (): Promise<string> => {
    const made = await served.ask(ADMIN, "POST", "/apps/shop/builds", { external: "true" });
    const { id } = JSON.parse(made.text);
    await served.ask(ADMIN, "PUT", `/apps/shop/builds/${id}`, { manifest: MANIFEST });
    return id;
  };
  const bring = async (id: string) =>
    (await served.ask(ADMIN, "POST", `/apps/shop/builds/${id}/image`, { image: registry.image })).status;
  const [one, ...others] = await Promise.all(Array.from({ length: 11 }, open));
  const same = await Promise.all(Array.from({ length: 3 }, () => bring(one ?? "")));
  expect(same.sort()).toEqual([202, 409, 409]);
  const all = await Promise.all(others.map(bring));
  expect(all.filter((status) => status === 202)).toHaveLength(3);
});
