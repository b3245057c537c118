import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { caddyImage } from "../support/debian-images.ts";
import { freePort } from "../support/registry.ts";
import { SHOP, webProject } from "../support/swarm.ts";
import { verdict } from "./verdict.ts";

/* A rack of an earlier davit, whose apps share a network with a router that is a service, under a
   steady stream of requests: OLD_DAVIT=PATH names that davit. */
const OLD = process.env["OLD_DAVIT"] ?? "";
const RATE = Number(process.env["RATE"] ?? 200);
using box = sandbox();
const rack = `m${crypto.randomUUID().slice(0, 6)}`;
const env = { DAVIT_RACK: rack };
const http = await freePort();
const old = async (args: string[], cwd = box.path): Promise<string> =>
  await sh([OLD, ...args], { cwd, env: { ...box.env(env) } });
await old(["racks", "add", rack]);
await old(["rack", "params", "set", `RouterHttpPort=${http}`, `RouterImage=${await caddyImage()}`]);
await old(["rack", "install", "--domain", "apps.test"]);
const two = SHOP.replace("scale: {", "scale: {count: 2, ");
const dirs = {
  shop: await webProject(box.join("shop"), "0", two),
  blog: await webProject(box.join("blog"), "0", two),
};
for (const dir of Object.values(dirs)) await old(["deploy"], dir);

const answers = new Map<string, number>();
const phases: string[] = [];
let [sent, open, phase, stop] = [0, 0, "before", false];
const began = performance.now();
const ask = async (app: string): Promise<void> => {
  open++;
  const during = phase;
  const said = await fetch(`http://127.0.0.1:${http}/`, { headers: { host: `web.${app}.apps.test` } })
    .then(async (response) => {
      await response.text();
      return String(response.status);
    })
    .catch((error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : "failed"));
  const key = `${app} ${said}${said === "200" ? "" : ` while ${during} at ${((performance.now() - began) / 1000).toFixed(1)}`}`;
  answers.set(key, (answers.get(key) ?? 0) + 1);
  open--;
};
const sending = (async () => {
  while (!stop) {
    const due = ((performance.now() - began) / 1000) * RATE;
    while (sent < due) void ask(sent++ % 2 === 0 ? "shop" : "blog");
    await Bun.sleep(10);
  }
})();
const step = async (name: string, work: () => Promise<unknown>): Promise<void> => {
  phase = name;
  const start = performance.now();
  await work();
  phases.push(`${name} ${((performance.now() - start) / 1000).toFixed(1)} s`);
};
await step("idle", () => Bun.sleep(2000));
await step("promoting shop", async () => {
  await webProject(dirs.shop, "1", two);
  await box.ok(["deploy"], { cwd: dirs.shop, env });
});
await step("idle after", () => Bun.sleep(2000));
await step("installing", () => box.ok(["rack", "install"], { env }));
await step("idle at last", () => Bun.sleep(2000));
stop = true;
await sending;
while (open > 0) await Bun.sleep(50);
const bad = [...answers].filter(([said]) => !said.endsWith(" 200"));
verdict(bad.length === 0, "an earlier davit's rack moves over", `${sent} sent, ${phases.join(", ")}`);
process.stdout.write(`${[...answers].map(([said, count]) => `  ${said}: ${count}`).join("\n")}\n`);
process.stdout.write(
  await sh([DOCKER, "network", "ls", "--filter", `name=${rack}_`, "--format", "  {{.Name}}"]),
);
for (const name of ["shop", "blog"]) await box.ok(["apps", "delete", name, "--yes"], { env });
await sh([DOCKER, "rm", "-f", `${rack}_router`]);
