import { expect, test } from "bun:test";
import { DOCKER, sh } from "../support/davit.ts";
import { caddyImage } from "../support/debian-images.ts";
import { freePort } from "../support/registry.ts";
import { SHOP, swarmRack, webProject } from "../support/swarm.ts";

/* Routed services behind a real Caddy. */

const LONG = 120_000;

test.concurrent(
  "the world reaches routed services by name, and misses nothing while a release replaces another",
  async () => {
    await using shop = await swarmRack();
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

test.concurrent(
  "apps that run are brought behind a router that comes later, with a certificate that is given",
  async () => {
    await using shop = await swarmRack();
    const [http, https, image] = [await freePort(), await freePort(), await caddyImage()];
    const dir = await webProject(shop.box.join("shop"), "one");
    await shop.ok(["deploy", "--wildcard-domain"], dir);
    const [certificate, key] = [shop.box.join("cert.pem"), shop.box.join("key.pem")];
    const names = "subjectAltName=DNS:*.shop.apps.test,DNS:*.shop-web.apps.test";
    await sh([
      ...["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop"],
      ...["-addext", names, "-keyout", key, "-out", certificate],
    ]);
    const ports = [`RouterHttpPort=${http}`, `RouterHttpsPort=${https}`, `RouterImage=${image}`];
    await shop.ok(["rack", "params", "set", ...ports]);
    const half = await shop.run(["rack", "install", "--domain", "apps.test", "--key", key]);
    expect(half).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: Cannot use a certificate without its key/),
    });
    await shop.ok(["rack", "install", "--domain", "apps.test", "--certificate", certificate, "--key", key]);
    const get = async (host: string, ...more: string[]): Promise<string> => {
      const to = ["--resolve", `${host}:${https}:127.0.0.1`, "--cacert", certificate, ...more];
      const ask = ["curl", "-sS", "-w", " %{http_code}", ...to, `https://${host}:${https}/`];
      return (await sh(ask).catch(String)).replace("\n", "");
    };
    expect(await get("web.shop.apps.test")).toBe("one 200");
    expect(await get("any.shop-web.apps.test")).toBe("one 200");
    expect(await get("else.shop.apps.test")).toBe("no such service 404");
    const plain = await fetch(`http://127.0.0.1:${http}/`, {
      headers: { host: "web.shop.apps.test" },
      redirect: "manual",
    });
    expect([plain.status, plain.headers.get("location")]).toEqual([
      308,
      `https://web.shop.apps.test:${https}/`,
    ]);
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject({ router: "apps.test" });
    expect(await shop.json(["services", "-a", "shop"])).toMatchObject([
      { domain: "web.shop.apps.test" },
      { domain: "" },
    ]);
    const shown = await shop.ok(["rack", "params"]);
    expect(shown).toMatch(/^RouterKey +\*{10}$/m);
    await shop.ok(["rack", "params", "set", "RouterTls=internal"]);
    expect(await get("web.shop.apps.test")).toMatch(/certificate/);
    expect(await get("web.shop.apps.test", "-k")).toBe("one 200");
    await shop.ok(["rack", "params", "set", "RouterDomain="]);
    expect(await sh([DOCKER, "ps", "-aq", "--filter", `name=${shop.rack}_router`])).toBe("");
    expect(await shop.answer("web")).toBe("one");
  },
  LONG,
);
