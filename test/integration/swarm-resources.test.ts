import { expect, test } from "bun:test";
import { convoxCli, startRack } from "../support/convox.ts";
import { DOCKER, sh } from "../support/davit.ts";
import { postgresImage, redisImage } from "../support/debian-images.ts";
import { absent } from "../support/peers.ts";
import { SHOP, swarmRack, webProject } from "../support/swarm.ts";

/* Databases beside an app, and commands that run by the clock. */

const LONG = 150_000;

async function withData(): Promise<string> {
  const [postgres, redis] = await Promise.all([postgresImage(), redisImage()]);
  const uses = SHOP.replace(
    "    port: 3000\n",
    "    port: 3000\n    resources: [main-db, cache:REDIS, search]\n",
  );
  return `${uses}resources:
  main-db:
    type: postgres
    image: ${postgres}
  cache:
    type: redis
    image: ${redis}
  search:
    type: memcached
`;
}

test.concurrent(
  "resources run beside an app, tell it where they are, and keep their data over releases and even the app",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one", await withData());
    const deploy = async (...dataOf: string[]): Promise<void> => {
      await shop.ok(["apps", "create", "shop", ...dataOf]);
      await shop.ok(["env", "set", "SEARCH_URL=memcached://elsewhere:11211", "-a", "shop"]);
      await shop.ok(["deploy"], dir);
    };
    await deploy();
    expect(await shop.json(["resources", "-a", "shop"])).toEqual([
      { name: "main-db", type: "postgres", status: "running" },
      { name: "cache", type: "redis", status: "running" },
      { name: "search", type: "memcached", status: "elsewhere" },
    ]);
    const url = (await shop.ok(["resources", "url", "main-db", "-a", "shop"])).trim();
    expect(url).toMatch(/^postgres:\/\/app:[\w-]{43}@resource-main-db:5432\/app$/);
    const process = async (service: string): Promise<string> =>
      (await shop.json(["ps", "-a", "shop", "-s", service]))[0].id;
    const inside = async (service: string, script: string): Promise<string> =>
      (await shop.ok(["exec", await process(service), "-a", "shop", "--", "sh", "-c", script])).trim();
    expect(await inside("web", "echo $MAIN_DB_URL $MAIN_DB_PASS $MAIN_DB_HOST $REDIS $SEARCH_URL")).toBe(
      `${url} ${new URL(url).password} resource-main-db redis://resource-cache:6379/0 memcached://elsewhere:11211`,
    );
    const sql = (text: string): Promise<string> => inside("resource-main-db", `psql -qAtc "${text}" ${url}`);
    await sql("CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)");
    expect(await inside("web", "printf 'SET a 5\\r\\nQUIT\\r\\n' | nc resource-cache 6379")).toMatch(/^\+OK/);
    const before = [await process("resource-main-db"), await process("resource-cache")];
    await webProject(dir, "two", await withData());
    await shop.ok(["deploy"], dir);
    expect(await shop.answer("web")).toBe("two");
    expect([await process("resource-main-db"), await process("resource-cache")]).toEqual(before);
    await shop.ok(["apps", "delete", "shop", "--yes"]);
    const [left] = await shop.json(["apps", "--deleted"]);
    await deploy("--data-of", left.id);
    expect(await sql("SELECT id FROM orders")).toBe("7");
    expect(await inside("web", "printf 'GET a\\r\\nQUIT\\r\\n' | nc resource-cache 6379")).toMatch(
      /^\$1\r\n5/,
    );
  },
  LONG,
);

test.concurrent.skipIf(absent("convox"))(
  "convox lists resources, and says where one is",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one", await withData());
    await shop.ok(["apps", "create", "shop"]);
    await shop.ok(["env", "set", "SEARCH_URL=memcached://elsewhere:11211", "-a", "shop"]);
    await shop.ok(["deploy"], dir);
    const url = await shop.ok(["resources", "url", "main-db", "-a", "shop"]);
    await using served = await startRack(shop.box, shop.rack);
    const convox = convoxCli(shop.box, { RACK_URL: served.rackUrl });
    expect(await convox.ok(["resources", "-a", "shop"])).toMatch(/^main-db +postgres +postgres:/m);
    expect(await convox.ok(["resources", "url", "main-db", "-a", "shop"])).toBe(url);
  },
  LONG,
);

test.concurrent(
  "what cannot be run is named, and leaves the release before running",
  async () => {
    await using shop = await swarmRack();
    const dir = await webProject(shop.box.join("shop"), "one");
    const first = await shop.json(["deploy"], dir);
    const timer = (line: string): string =>
      `${SHOP}timers:\n  tick: {service: web, command: date, ${line}}\n`;
    const broken: [string, RegExp][] = [
      [
        `${SHOP}resources:\n  cache: {type: redis, image: "127.0.0.1:1/none:1"}\n`,
        /Cannot pull 127\.0\.0\.1:1\/none:1 for resource cache: .*refused/,
      ],
      [
        `${SHOP}resources:\n  cache: {type: oracle}\n`,
        /this rack does not run resource cache: its type is "oracle"/,
      ],
      [timer('schedule: "* * *"'), /Cannot read the schedule "\* \* \*": it has not five fields/],
      [
        timer('schedule: "* * * * *", concurrency: Allow'),
        /does not run timer tick: its concurrency is allow/,
      ],
      [
        SHOP.replace("port: 3000", "port: 3000\n    privileged: true"),
        /service web is privileged: Swarm runs none/,
      ],
    ];
    for (const [yml, why] of broken) {
      await webProject(dir, "two", yml);
      const failed = await shop.run(["deploy"], dir);
      expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(why)]);
      expect(failed.stderr).toContain(`so ${first.release} runs`);
      expect(await shop.answer("web")).toBe("one");
    }
  },
  LONG,
);

test.concurrent(
  "a timer's command runs each time in a container of its own, with its service's env",
  async () => {
    await using shop = await swarmRack();
    const timers = `timers:
  tick:
    service: web
    schedule: "* * * * ?"
    command: sh -c "echo ran as $SERVICE with $GREETING in $(hostname) >/dev/stderr; exit 3"
  never:
    service: web
    schedule: "0 0 30 2 *"
    command: echo never
`;
    await shop.ok(["apps", "create", "shop"]);
    await shop.ok(["env", "set", "GREETING=hello", "-a", "shop"]);
    const yml = `${SHOP.replace("    port: 3000\n", "    port: 3000\n    environment: [GREETING]\n")}${timers}`;
    await shop.ok(["deploy"], await webProject(shop.box.join("shop"), "one", yml));
    const lines = async (): Promise<string[]> =>
      (await shop.ok(["logs", "-a", "shop", "-s", "timer-tick", "--no-follow"])).split("\n").filter(Boolean);
    for (let tries = 0; tries < 135 && (await lines()).length < 2; tries++) await Bun.sleep(1000);
    const ran = await lines();
    const containers = ran.map((line) => / ran as timer-tick with hello in (\w+)$/.exec(line)?.[1]);
    expect(new Set(containers).size).toBe(2);
    const times = ran.map((line) => Date.parse(line.split(" ")[0] ?? ""));
    expect(times.every((time) => (time / 1000) % 60 < 5)).toBe(true);
    expect(await shop.ok(["logs", "-a", "shop", "-s", "timer-never", "--no-follow"])).toBe("");
    expect(await sh([DOCKER, "service", "ls", "--format", "{{.Name}}"])).toContain(
      `${shop.rack}_shop_timer-never`,
    );
  },
  LONG + 60_000,
);
