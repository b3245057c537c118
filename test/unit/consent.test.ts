import { expect, test } from "bun:test";
import { mkdir, symlink } from "node:fs/promises";
import fc from "fast-check";
import { loadConvoxYml } from "../../src/manifest/convox-yml.ts";
import { checkConsent, isWithin, readConsent, withAdditions } from "../../src/rack/consent.ts";
import { lackingConsent } from "../../src/rack/lacking.ts";
import { tempDir } from "../support/temp.ts";

/* What apps may have of the nodes they run on. */

async function lacks(web: string, params: Record<string, string> = {}, secret: string[] = []) {
  const yml = `services:\n  web:\n    image: x\n    ${web}\n`;
  const { services } = await loadConvoxYml(yml, "convox.yml", {});
  return (await lackingConsent({ app: "shop", services, secret }, readConsent(params))).map(
    ({ param, entry }) => `${param}=${entry}`,
  );
}

test("nothing of the node is given unless the rack says so, to all apps or to one", async () => {
  const mount = "volumes: ['/srv/data:/data', /own, 'named:/x']";
  expect(await lacks(mount)).toEqual(["HostPaths=shop:/srv/data"]);
  for (const given of ["/srv/data", "shop:/srv/data", "/x, shop:/srv/data/ ,/y"])
    expect(await lacks(mount, { HostPaths: given })).toEqual([]);
  for (const given of ["blog:/srv/data", "/srv", "/srv/data2", "/srv/dat", "/"])
    expect(await lacks(mount, { HostPaths: given })).toContain("HostPaths=shop:/srv/data");
  const ports = "agent: true\n    ports: [8125/udp, 9050]";
  expect(await lacks(ports)).toEqual(["HostPorts=shop:8125/udp", "HostPorts=shop:9050"]);
  expect(await lacks(ports, { HostPorts: "8125,9000-9100/udp" })).toHaveLength(2);
  expect(await lacks(ports, { HostPorts: "8125/udp,shop:9000-9100" })).toEqual([]);
  expect(await lacks(ports, { HostPorts: "8125/udp,blog:9000-9100" })).toEqual(["HostPorts=shop:9050"]);
  expect(await lacks("scale: {memory: 0}")).toEqual(["UnlimitedMemory=shop"]);
  for (const given of ["*", "shop", "blog,shop"])
    expect(await lacks("scale: {memory: 0}", { UnlimitedMemory: given })).toEqual([]);
});

test("resources run stock images, and those that the rack names in whatever way", async () => {
  const yml = (image: string) =>
    `services:\n  web:\n    image: x\nresources:\n  db: {type: postgres${image}}\n`;
  const asked = async (image: string, given = "") => {
    const { services, resources } = await loadConvoxYml(yml(image), "convox.yml", {});
    const asking = { app: "shop", services, resources, secret: [] };
    return (await lackingConsent(asking, readConsent({ ResourceImages: given }))).map(({ entry }) => entry);
  };
  expect(await asked("")).toEqual([]);
  expect(await asked(", options: {version: 15}")).toEqual([]);
  for (const [image, name] of Object.entries({
    ...{
      "local/shop:web.BABCDEFGHIJ": "docker.io/local/shop:web.BABCDEFGHIJ",
      "10.0.0.1:5000/x": "10.0.0.1:5000/x:latest",
    },
    ...{ "26": "docker.io/library/26:latest", "sha256:26": "docker.io/library/sha256:26" },
  }))
    expect(await asked(`, image: '${image}'`, "postgres:16,acme/pg")).toEqual([name]);
  for (const image of ["A B", '"', "x,y", "../x"])
    await expect(asked(`, image: '${image}'`)).rejects.toThrow("Cannot use image name");
  for (const image of ["acme/pg", "docker.io/acme/pg:latest", "postgres:16", "library/postgres:16"])
    expect(await asked(`, image: '${image}'`, "postgres:16,acme/pg")).toEqual([]);
});

test("what may be read may not be written", async () => {
  const params = { HostPaths: "/var/log:ro" };
  expect(await lacks("volumes: ['/var/log:/logs:ro']", params)).toEqual([]);
  expect(await lacks("volumes: ['/var/log:/logs']", params)).toEqual(["HostPaths=shop:/var/log"]);
});

test("a directory above the engine's socket or the rack's own secrets takes another consent, for each", async () => {
  for (const path of ["/", "/run", "/var/run"]) {
    const asked = await lacks(`volumes: ['${path}:/x']`, { HostPaths: path });
    expect(asked).toContain("HostPaths=shop:/run/docker.sock");
    expect(asked).not.toContain(`HostPaths=shop:${path}`);
  }
  const named = { HostPaths: "/run,/run/docker.sock,/run/containerd/containerd.sock" };
  expect(await lacks("volumes: ['/run:/x']", named)).toEqual([]);
  expect(await lacks("volumes: ['/var/run/docker.sock:/x']")).toEqual([
    "HostPaths=shop:/var/run/docker.sock",
  ]);
  expect(await lacks("volumes: ['/var/run/docker.sock:/x']", { HostPaths: "/var/run/docker.sock" })).toEqual(
    [],
  );
  using dir = tempDir();
  await mkdir(dir.join("a/rack"), { recursive: true });
  await symlink(dir.join("a"), dir.join("link"));
  for (const path of [dir.join("a"), dir.join("link")])
    expect(await lacks(`volumes: ['${path}:/x']`, { HostPaths: path }, [dir.join("a/rack")])).toEqual([
      `HostPaths=shop:${dir.join("a/rack")}`,
    ]);
});

test("consent to a directory is not consent to what lies in it, where a link may be put", async () => {
  const inner = await lacks("volumes: ['/srv/data/link:/x']", { HostPaths: "/srv/data" });
  expect(inner).toEqual(["HostPaths=shop:/srv/data/link"]);
  expect(() => checkConsent("HostPaths", "/srv/data,shop:/srv/data/link")).toThrow(
    "/srv/data/link lies in /srv/data",
  );
  expect(() => checkConsent("HostPaths", "/srv/data:ro,shop:/srv/data/link")).not.toThrow();
  expect(() => checkConsent("HostPaths", "/run,/run/docker.sock")).not.toThrow();
});

test("lists that cannot be read are refused, and an addition keeps what is there", () => {
  for (const [name, bad] of [
    ...["srv", "/a/../b", "/a//b", "Shop:/a", "/a:rw", "/a:ro:ro", "a:b:/c", "/a\nb"].map((one) => [
      "HostPaths",
      one,
    ]),
    ...["0", "65536", "9-8", "80/sctp", "x", "80-", "shop:"].map((one) => ["HostPorts", one]),
    ...["Shop", "a b"].map((one) => ["UnlimitedMemory", one]),
  ] as const)
    expect(() => checkConsent(name ?? "", `ok,${bad}`)).toThrow(/^Cannot set /);
  expect(withAdditions("/a,/b", "+shop:/c,/b")).toBe("/a,/b,shop:/c");
  expect(withAdditions("", "+shop:/c")).toBe("shop:/c");
  expect(withAdditions("/a", "/c")).toBe("/c");
});

test("a path is within another only by whole parts", () => {
  const path = fc.array(fc.constantFrom("a", "ab", "b"), { maxLength: 4 });
  fc.assert(
    fc.property(path, path, (one, other) => {
      const expected = other.every((part, at) => one[at] === part);
      expect(isWithin(`/${one.join("/")}`, `/${other.join("/")}`)).toBe(expected);
    }),
  );
});
