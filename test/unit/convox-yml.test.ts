import { expect, test } from "bun:test";
import { makePlan } from "../../src/build/plan.ts";
import { interpolate, loadConvoxYml, parseConvoxYml } from "../../src/manifest/convox-yml.ts";

const load = (text: string, env: Record<string, string> = {}) => loadConvoxYml(text, "convox.yml", env);
const mistakes = async (text: string) =>
  (await parseConvoxYml(text, "convox.yml", {})).mistakes.map(({ line, message }) => `${line}: ${message}`);

test("every form of build: and image: is read", async () => {
  const { services } = await load(`
services:
  plain:
  text:
    build: ./web
  beside:
    build: ./web
    manifest: Dockerfile.production
  full:
    build: {path: ./api, manifest: Dockerfile.api, args: [A=1, "B=x=y"]}
  map:
    build:
      manifest: Other
      args:
        N: 1.10
        E:
  image:
    image: redis:7
    build: ./ignored
`);
  expect(services.map(({ name, build, image }) => [name, image ?? build])).toEqual([
    ["plain", { path: ".", manifest: "Dockerfile", args: {} }],
    ["text", { path: "./web", manifest: "Dockerfile", args: {} }],
    ["beside", { path: "./web", manifest: "Dockerfile.production", args: {} }],
    ["full", { path: "./api", manifest: "Dockerfile.api", args: { A: "1", B: "x=y" } }],
    ["map", { path: ".", manifest: "Other", args: { N: "1.1", E: "" } }],
    ["image", "redis:7"],
  ]);
});

test("merge keys and aliases are expanded", async () => {
  const { services } = await load(
    "base: &base\n  build: ./base\n  port: 80\nservices:\n  web:\n    <<: *base\n    command: run\n",
  );
  expect(services[0]).toMatchObject({ build: { path: "./base" }, port: "80", command: "run" });
});

test("${NAME} is replaced everywhere, by nothing when it is not set", async () => {
  expect(interpolate("a ${X} ${Y} $X ${1bad}", { X: "1" })).toBe("a 1  $X ${1bad}");
  expect(
    (await load("services:\n  web:\n    image: ${REPO}/app:${TAG}\n", { REPO: "r", TAG: "1.10" })).services[0]
      ?.image,
  ).toBe("r/app:1.10");
});

test("declared env without a default must be set, and all that is missing is named", async () => {
  const text =
    "environment: [TOP]\nservices:\n  web:\n    environment:\n      - B\n      - A\n      - C=default\n      - '*'\n";
  await expect(load(text)).rejects.toThrow("required env: A, B, TOP");
  expect((await load(text, { A: "", B: "1", TOP: "x" })).services).toHaveLength(1);
});

test("every mistake is found, with its line", async () => {
  expect(
    await mistakes(
      "services:\n  Web:\n    build: .\n  api:\n    build: 3\n  bad:\n    port: many\n  list: [1]\n",
    ),
  ).toEqual([
    '2: service name "Web" is not like a-z, then a-z, 0-9 and -, 63 at most',
    "5: unknown type for service build: number",
    '7: port "many" is not a number',
    "8: service list is not a mapping",
  ]);
  expect(await mistakes("services: {}\n")).toEqual(["1: it names no services"]);
  expect(await mistakes("- a\n")).toEqual(["1: it is not a mapping with `services`"]);
  expect(await mistakes("")).toHaveLength(1);
});

test("broken YAML, duplicate keys and alias bombs are mistakes with a line", async () => {
  expect((await mistakes("services:\n  web:\n   build: .\n  \tx: 1\n"))[0]).toMatch(/^\d+: /);
  expect((await mistakes("services:\n  web: {}\n  web: {}\n"))[0]).toMatch(/^3: .*unique/);
});

test("services that share directory, Dockerfile and arguments are built once", async () => {
  const plan = makePlan(
    await load(`
services:
  web: {build: ./app}
  worker: {build: {path: ./app, manifest: Dockerfile}}
  other: {build: {path: ./app, args: [A=1]}}
  cache: {image: redis}
  session: {image: redis}
`),
  );
  expect(plan.builds.map((build) => build.services)).toEqual([["web", "worker"], ["other"]]);
  expect(plan.images).toEqual([{ services: ["cache", "session"], image: "redis" }]);
});
