import { expect, test } from "bun:test";
import { parseConvoxYml } from "../../src/manifest/convox-yml.ts";

async function mistakes(text: string, env: Record<string, string> = {}): Promise<string[]> {
  return (await parseConvoxYml(text, "convox.yml", env)).mistakes.map(
    ({ line, message }) => `${line}: ${message}`,
  );
}

test("a manifest is refused when it is too long, also by the values that are put into it", async () => {
  await expect(mistakes("#".repeat(70_000))).rejects.toThrow("longer than");
  const text = `services: {web: {image: "${"${A}".repeat(1000)}"}}`;
  await expect(mistakes(text, { A: "x".repeat(100_000) })).rejects.toThrow("longer than");
  await expect(mistakes(text, { A: "x".repeat(1000) })).rejects.toThrow("longer than");
});

test("a long manifest is read in a thread as a short one is here", async () => {
  const text = "services:\n  web:\n    image: a\n    port: x\n  web: {}\n";
  expect(await mistakes(text)).toEqual(["5: Map keys must be unique"]);
  expect(await mistakes(`${text}#${"x".repeat(5000)}`)).toEqual(["5: Map keys must be unique"]);
  expect(await mistakes(`# ${"x".repeat(5000)}\n${text.replace("  web: {}\n", "")}`)).toEqual([
    '5: port "x" is not a number',
  ]);
});

test("merges that merge each other, and themselves, end", async () => {
  const levels = Array.from({ length: 30 }, (_, i) => `x${i + 1}: &x${i + 1}\n  <<: [*x${i}, *x${i}]\n`);
  const text = `x0: &x0 {image: busybox}\n${levels.join("")}services:\n  web: *x30\n`;
  const { manifest } = await parseConvoxYml(text, "convox.yml", {});
  expect(manifest.services[0]?.image).toBe("busybox");
  expect(
    await mistakes("services: &s\n  web: &w\n    <<: *w\n    build: {<<: *s, args: {<<: *w}}\n"),
  ).toEqual(["4: build is not plain text"]);
});

test("aliases may not repeat a text without end", async () => {
  const services = Array.from({ length: 500 }, (_, i) => `  s${i}: {image: a, ports: *p}\n`).join("");
  const ports = `x-p: &p [${"5000, ".repeat(4000)}]\n`;
  await expect(mistakes(`${ports}services:\n${services}`)).rejects.toThrow("repeat too much");
});

test("what is nested without end, or broken all over, is an error and soon", async () => {
  const began = performance.now();
  for (const piece of ["[", "{a: ", "- ", "]\n", "%\n", "? ", "&a "]) {
    const read = mistakes(piece.repeat(60_000 / piece.length)).catch((error: Error) => [error.message]);
    expect((await read).length).toBeGreaterThan(0);
  }
  expect(performance.now() - began).toBeLessThan(7 * 3500);
}, 60_000);
