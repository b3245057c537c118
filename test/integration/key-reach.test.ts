import { expect, test } from "bun:test";
import { startRack } from "../support/convox.ts";
import { sandbox } from "../support/davit.ts";
import { project } from "../support/projects.ts";

test("a key's builds fetch no image and no source from inside of the server's network, and say one thing", async () => {
  using box = sandbox();
  await box.ok(["apps", "create", "shop"]);
  await box.ok(["rack", "params", "set", "BuildFromUrls=Yes"]);
  const asked: string[] = [];
  using inside = Bun.serve({
    ...{ port: 0, hostname: "127.0.0.1" },
    fetch: ({ url }) => {
      asked.push(url);
      return new Response(null, { status: 404 });
    },
  });
  const host = `127.0.0.1:${inside.port}`;
  await using rack = await startRack(box);
  const key = (await box.ok(["rack", "token", "--for-app", "shop"])).trim();
  const image = `${host}/team/web:1`;
  const dir = await project(box.join("shop"), {
    "convox.yml": `services:\n  web:\n    image: ${image}\n`,
  });
  const build = async (where: string, login: string) =>
    (await box.run(["build", where, "-a", "shop"], { env: { RACK_URL: rack.at(login) } })).stderr;
  expect(await build(dir, `jwt:${key}`)).toContain(
    `Cannot fetch ${image}: it is not there, or not for this login`,
  );
  for (const source of [
    `http://${host}/x.git`,
    `http://${host}/x.tgz`,
    `https://${host}/x.zip`,
    `ssh://git@${host}/x.git`,
  ])
    expect([source, await build(source, `jwt:${key}`)]).toEqual([
      source,
      expect.stringContaining("Cannot fetch the source: it is not there, or not for this login"),
    ]);
  expect(asked).toEqual([]);
  await box.ok(["rack", "params", "set", `ImportFrom=${host}`]);
  expect(await build(`http://${host}/x.tgz`, `jwt:${key}`)).toContain("not for this login");
  expect(await build(dir, `jwt:${key}`)).toContain("not for this login");
  expect(asked.length).toBeGreaterThan(1);
}, 120_000);
