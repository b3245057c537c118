import { expect, test } from "bun:test";
import { PASSWORD } from "../support/convox.ts";
import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { caddyImage } from "../support/debian-images.ts";
import { engineApart, twoNodes } from "../support/nodes.ts";
import { freePort } from "../support/registry.ts";
import { SHOP, webProject } from "../support/swarm.ts";

/* A Swarm of two nodes, of which davit's is one. */

test("services run on nodes that davit does not reach, with images of the rack, behind the one router", async () => {
  await using nodes = await twoNodes();
  using box = sandbox();
  const env = { DOCKER_HOST: nodes.first };
  const on = (host: string, ...args: string[]): Promise<string> => sh([DOCKER, "-H", host, ...args]);
  const [port, http] = [await freePort(), await freePort()];
  expect(await box.ok(["rack", "install"], { env })).toMatch(/^This engine is a Swarm manager already\n/);
  const dir = await webProject(box.join("shop"), "one", SHOP.replace("scale: {", "scale: {count: 2, "));
  const alone = await box.run(["deploy"], { env, cwd: dir });
  expect(alone.stderr).toContain("the Swarm has 2 nodes, and the rack no name they could pull from");

  const listen = ["--listen", `${nodes.here}:${port}`, "--tls-self-signed", "--password-stdin"];
  const server = box.spawn(["rack", "start", ...listen], { env, stdin: `${PASSWORD}\n` });
  await server.stdout.getReader().read();
  const params = [`RegistryHost=${nodes.here}:${port}`, `RouterImage=${await caddyImage(nodes.first)}`];
  await box.ok(["rack", "params", "set", ...params, `RouterHttpPort=${http}`], { env });
  await box.ok(["rack", "install", "--domain", "apps.test"], { env });
  await box.ok(["deploy"], { env, cwd: dir });
  const processes: { id: string; service: string; status: string }[] = await box.json(["ps", "-a", "shop"], {
    env,
  });
  expect(processes.map(({ service, status }) => `${service} ${status}`)).toEqual([
    "web running",
    "web running",
    "worker running",
  ]);
  const elsewhere = (await on(nodes.second, "ps", "--format", "{{.Names}}"))
    .split("\n")
    .filter((name) => /_web\./.test(name));
  expect(elsewhere.length).toBe(1);

  const ask = (): Promise<string> =>
    sh(["curl", "-s", "-H", "Host: web.shop.apps.test", `http://${nodes.firstAddress}:${http}/`]);
  for (let tries = 0; tries < 20; tries++) expect(await ask()).toBe("one");

  const [, task = ""] = /\.\d+\.(\w{12})/.exec(elsewhere[0] ?? "") ?? [];
  const there = ["exec", `web-${task}`, "-a", "shop", "--", "cat", "/www/index.html"];
  const name = (
    await on(nodes.first, "node", "ls", "-f", "role=worker", "--format", "{{.Hostname}} {{.ID}}")
  ).trim();
  const [hostname = "", id = ""] = name.split(" ");
  expect(await box.run(there, { env })).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      new RegExp(`^error: Cannot reach process web-${task}: it is on node ${hostname}\nhint: `),
    ),
  });
  await on(nodes.first, "node", "update", "--label-add", `davit.endpoint=${nodes.second}`, id);
  expect(await box.ok(there, { env })).toBe("one");
  expect(await box.ok(["run", "web", "-a", "shop", "--", "cat", "/www/index.html"], { env })).toBe("one");

  await webProject(dir, "two", SHOP.replace("scale: {", "scale: {count: 2, "));
  await box.ok(["deploy"], { env, cwd: dir });
  for (let tries = 0; tries < 20; tries++) expect(await ask()).toBe("two");
  await box.ok(["apps", "delete", "shop", "--yes"], { env });
  expect((await on(nodes.first, "service", "ls", "--format", "{{.Name}}")).trim()).toBe("");
  expect((await on(nodes.first, "ps", "--format", "{{.Names}}")).trim()).toBe("local_router");
  server.kill();
  await server.exited;
}, 240_000);

test("after a restart of the engine an app's processes come back by themselves", async () => {
  await using engine = await engineApart();
  using box = sandbox();
  const env = { DOCKER_HOST: engine.host };
  await box.ok(["rack", "install"], { env });
  await box.ok(["deploy"], { env, cwd: await webProject(box.join("shop"), "one") });
  const healthy = async (): Promise<string> => {
    const list = ["ps", "-q", "--filter", "name=local_shop_web", "--filter", "health=healthy"];
    return (await sh([DOCKER, "-H", engine.host, ...list])).trim();
  };
  const before = await healthy();
  await engine.restart();
  let now = "";
  for (let tries = 0; tries < 600 && now === ""; tries++) {
    now = await healthy();
    await Bun.sleep(100);
  }
  expect([before, now]).toEqual([expect.stringMatching(/^\w{12}$/), expect.stringMatching(/^\w{12}$/)]);
  expect(now).not.toBe(before);
  const get = ["/bin/busybox", "wget", "-qO-", "http://127.0.0.1:3000/"];
  expect(await sh([DOCKER, "-H", engine.host, "exec", now, ...get])).toBe("one");
}, 120_000);

test("after a restart of the engine the router is in every app's network again, and knows its routes", async () => {
  await using engine = await engineApart();
  using box = sandbox();
  const env = { DOCKER_HOST: engine.host };
  const on = (...args: string[]): Promise<string> => sh([DOCKER, "-H", engine.host, ...args]);
  await box.ok(["rack", "install"], { env });
  await box.ok(["rack", "params", "set", `RouterImage=${await caddyImage(engine.host)}`], { env });
  await box.ok(["rack", "install", "--domain", "apps.test"], { env });
  const apps = ["blog", "shop"];
  for (const app of apps)
    await box.ok(["deploy", "-a", app], { env, cwd: await webProject(box.join(app), app) });
  const networks = async (): Promise<string[]> => {
    const shown = await on("inspect", "-f", "{{json .NetworkSettings.Networks}}", "local_router");
    return Object.keys(JSON.parse(shown)).sort();
  };
  const joined = await networks();
  expect(joined).toEqual(["bridge", "local_blog", "local_shop"]);
  /** By the router's address in the app's own network: this machine does not reach the engine's. */
  const ask = async (app: string): Promise<string> => {
    const address = `{{(index .NetworkSettings.Networks "local_${app}").IPAddress}}`;
    const router = (await on("inspect", "-f", address, "local_router")).trim();
    const healthy = ["--filter", `name=local_${app}_web`, "--filter", "health=healthy"];
    const [web = ""] = (await on("ps", "-q", ...healthy)).split("\n");
    const get = ["wget", "-qO-", "--header", `Host: web.${app}.apps.test`, `http://${router}/`];
    return await on("exec", web, "/bin/busybox", ...get).catch(String);
  };
  for (const app of apps) expect(await ask(app)).toBe(app);
  await engine.restart();
  for (const app of apps)
    for (let tries = 0; tries < 600 && (await ask(app)) !== app; tries++) await Bun.sleep(100);
  for (const app of apps) expect(await ask(app)).toBe(app);
  expect(await networks()).toEqual(joined);
}, 180_000);
