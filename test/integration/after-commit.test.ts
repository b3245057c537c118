import { expect, test } from "bun:test";
import { DOCKER, davitCommand, sh } from "../support/davit.ts";
import { caddyImage } from "../support/debian-images.ts";
import { PostgresServer } from "../support/postgres.ts";
import { freePort } from "../support/registry.ts";
import { SHOP, swarmRack, webProject } from "../support/swarm.ts";

/* What follows a commit: warned of where it fails, and done by whoever changes the rack next. */

const LONG = 120_000;
const KILLS = 25;

test.concurrent(
  "a router that cannot be told what runs leaves the release active, and hears of it with the next change",
  async () => {
    await using shop = await swarmRack();
    const warning = /^warning: the router does not know of what runs now: .+/m;
    const [http, image] = [await freePort(), await caddyImage()];
    const router = ["RouterDomain=apps.test", `RouterHttpPort=${http}`, "RouterImage=127.0.0.1:1/none:1"];
    const set = await shop.run(["rack", "params", "set", ...router]);
    expect(set).toMatchObject({ code: 0, stderr: expect.stringMatching(warning) });
    const dir = await webProject(shop.box.join("shop"), "one");
    const deployed = await shop.run(["deploy"], dir);
    expect(deployed).toMatchObject({ code: 0, stderr: expect.stringMatching(warning) });
    const [{ id: release }] = await shop.json(["releases", "-a", "shop"]);
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject({
      ...{ release, status: "running" },
      problem: expect.stringContaining("the router does not know of what runs now: "),
    });
    expect(await shop.run(["rack", "params", "set", `RouterImage=${image}`])).toMatchObject({
      code: 0,
      stderr: "",
    });
    const response = await fetch(`http://127.0.0.1:${http}/`, { headers: { host: "web.shop.apps.test" } });
    expect([response.status, (await response.text()).trim()]).toEqual([200, "one"]);
    expect((await shop.json(["apps", "info", "shop"])).problem).toBeUndefined();
  },
  LONG,
);

test.concurrent(
  "a deletion that is killed at any moment is finished by whoever changes the rack next",
  async () => {
    const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
    process.stderr.write(`seed ${seed}\n`);
    let state = seed;
    const random = (): number => {
      state = (state * 48_271 + 1) % 2_147_483_647;
      return state / 2_147_483_647;
    };
    await using shop = await swarmRack();
    // Services without processes: their deletion takes as many steps, and no time.
    const dir = await webProject(
      shop.box.join("shop"),
      "one",
      SHOP.replaceAll("cpu: 10", "count: 0, cpu: 10"),
    );
    await shop.ok(["deploy"], dir);
    const [{ id }] = await shop.json(["builds", "-a", "shop"]);
    const file = shop.box.join("build.tar");
    await shop.ok(["builds", "export", id, "-a", "shop", "-f", file]);
    const apps = Array.from({ length: KILLS + 1 }, (_, i) => `app${i}`);
    for (let i = 0; i < apps.length; i += 4)
      await Promise.all(
        apps.slice(i, i + 4).map(async (app) => {
          await shop.ok(["builds", "import", "-a", app, "-f", file]);
          await shop.ok(["releases", "promote", "-a", app]);
        }),
      );
    const servicesOf = async (app: string): Promise<number> => {
      const labels = ["--filter", `label=davit.app=${app}`, "--filter", `name=${shop.rack}_`];
      return (await sh([DOCKER, "service", "ls", "-q", ...labels])).split("\n").filter(Boolean).length;
    };
    const began = performance.now();
    await shop.ok(["apps", "delete", apps[KILLS] ?? "", "--yes"]);
    const took = performance.now() - began;
    const seen = { deleted: 0, whole: 0 };
    for (const [i, app] of apps.slice(0, KILLS).entries()) {
      const child = shop.box.spawn(["apps", "delete", app, "--yes"], { env: shop.env });
      await Bun.sleep(((i + random()) / KILLS) * took);
      child.kill("SIGKILL");
      await child.exited;
      const next = await shop.run(["apps", "create", `next${i}`]);
      expect(next).toMatchObject({ code: 0, stderr: "" });
      const found = (await shop.json(["apps"])).find(({ name }: { name: string }) => name === app);
      // One that was killed before it began has done nothing.
      expect([i, found?.status ?? "gone", await servicesOf(app)]).toEqual(
        found ? [i, "running", 2] : [i, "gone", 0],
      );
      if (found) seen.whole++;
      else seen.deleted++;
    }
    expect(seen.deleted).toBeGreaterThan(0);
  },
  LONG,
);

test.concurrent(
  "an app whose engine is away stays as deleting, and goes with the next change after it is back",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    await shop.ok(["deploy"], dir);
    const away = { env: { ...shop.env, DOCKER_HOST: "tcp://127.0.0.1:1" } };
    expect((await shop.box.run(["apps", "delete", "shop", "--yes"], away)).code).toBe(1);
    expect(await shop.json(["apps"])).toMatchObject([{ name: "shop", status: "deleting" }]);
    const refused = await shop.run(["env", "set", "A=1", "-a", "shop"]);
    expect(refused.stderr).toMatch(/^error: app shop is being deleted\n/m);
    expect(await shop.json(["apps"])).toEqual([]);
    const services = await sh([DOCKER, "service", "ls", "-q", "--filter", `name=${shop.rack}_shop`]);
    expect(services).toBe("");
  },
  LONG,
);

test.concurrent(
  "other changes go on beside an app whose engine is away, with a warning",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    await shop.ok(["deploy"], dir);
    const away = { env: { ...shop.env, DOCKER_HOST: "tcp://127.0.0.1:1" } };
    await shop.box.run(["apps", "delete", "shop", "--yes"], away);
    expect(await shop.box.run(["apps", "create", "other"], away)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^warning: app shop is not deleted yet: /m),
    });
    expect(await shop.box.run(["apps"], away)).toMatchObject({ code: 0, stderr: "" });
    await shop.ok(["apps", "delete", "shop", "--yes"]);
    expect(await shop.json(["apps"])).toMatchObject([{ name: "other" }]);
  },
  LONG,
);

test.concurrent(
  "a davit that stood still while another took over changes nothing of the app when it goes on",
  async () => {
    await using server = await PostgresServer.start();
    const url = await server.database();
    await using shop = await swarmRack({ DAVIT_DATABASE_URL: url });
    const dir = await webProject(shop.box.join("shop"), "one");
    const first = await shop.json(["deploy"], dir);
    await webProject(dir, "two", SHOP.replace("port: 3000", "port: 3001").replace("grace: 2", "grace: 60"));
    const { release } = await shop.json(["build"], dir);
    const script = `${import.meta.dir}/../support/promote-with-lease.ts`;
    const slow = Bun.spawn([process.execPath, script, shop.rack, "shop", release, "2000"], {
      env: { ...shop.box.env(shop.env) },
      stderr: "pipe",
    });
    await Bun.sleep(3000);
    expect((await shop.json(["apps", "info", "shop"])).status).toBe("updating");
    slow.kill("SIGSTOP");
    await Bun.sleep(2500);
    // Another machine's davit sees no processes of this one.
    const elsewhere = ["unshare", "--pid", "--fork", "--mount-proc", ...davitCommand()];
    await sh([...elsewhere, "apps", "cancel", "shop"], { env: shop.box.env(shop.env) });
    const back = { release: first.release, status: "running" };
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject(back);
    slow.kill("SIGCONT");
    expect(await slow.exited).not.toBe(0);
    expect(await new Response(slow.stderr).text()).toContain("another davit has taken over app shop");
    expect(await shop.json(["apps", "info", "shop"])).toMatchObject(back);
    const running = (await shop.json(["ps", "-a", "shop"])).map((one: { release: string }) => one.release);
    expect(new Set(running)).toEqual(new Set([first.release]));
    expect(await shop.answer("web")).toBe("one");
  },
  LONG,
);
