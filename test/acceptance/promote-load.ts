import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { caddyImage } from "../support/debian-images.ts";
import { freePort } from "../support/registry.ts";
import { SHOP, webProject } from "../support/swarm.ts";
import { verdict } from "./verdict.ts";

/* Releases that replace each other under a steady stream of requests through the router. */
const PROMOTES = Number(process.env["PROMOTES"] ?? 10);
const RATE = Number(process.env["RATE"] ?? 500);
/** How often requests are sent off, in milliseconds. */
const TICK = 10;
using box = sandbox();
const rack = `p${crypto.randomUUID().slice(0, 6)}`;
const env = { DAVIT_RACK: rack };
const http = await freePort();
await box.ok(["racks", "add", rack]);
await box.ok(["rack", "params", "set", `RouterHttpPort=${http}`, `RouterImage=${await caddyImage()}`], {
  env,
});
await box.ok(["rack", "install", "--domain", "apps.test"], { env });
const dir = await webProject(box.join("shop"), "0", SHOP.replace("scale: {", "scale: {count: 2, "));
await box.ok(["deploy"], { cwd: dir, env });

const answers = new Map<string, number>();
const waits: number[] = [];
let [sent, open, late] = [0, 0, 0];
const began = performance.now();
const ask = async (): Promise<void> => {
  open++;
  const start = performance.now();
  const said = await fetch(`http://127.0.0.1:${http}/`, { headers: { host: "web.shop.apps.test" } })
    .then(
      async (response) =>
        `${response.status} ${(await response.text()).trim().replace(/^\d+$/, "a release")}`,
    )
    .catch(String);
  answers.set(said, (answers.get(said) ?? 0) + 1);
  waits.push(performance.now() - start);
  open--;
};
const timer = setInterval(() => {
  const due = ((performance.now() - began) / 1000) * RATE;
  late = Math.max(late, open);
  while (sent < due) {
    sent++;
    void ask();
  }
}, TICK);
let failed = 0;
for (let n = 1; n <= PROMOTES; n++) {
  await webProject(dir, String(n), SHOP.replace("scale: {", "scale: {count: 2, "));
  if ((await box.run(["deploy"], { cwd: dir, env })).code !== 0) failed++;
  // A new app changes what the router is told, and joins it to one more network.
  if (n !== Math.ceil(PROMOTES / 2)) continue;
  const other = await webProject(box.join("blog"), "blog");
  if ((await box.run(["deploy"], { cwd: other, env })).code !== 0) failed++;
}
const seconds = (performance.now() - began) / 1000;
clearInterval(timer);
while (open > 0) await Bun.sleep(50);
const bad = [...answers].filter(([said]) => said !== "200 a release");
const sorted = waits.toSorted((a, b) => a - b);
const at = (part: number): string => `${(sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(0)} ms`;
verdict(
  failed === 0,
  `${PROMOTES} releases replace each other, and an app is new`,
  `${failed} failed, in ${seconds.toFixed(0)} s`,
);
verdict(
  bad.length === 0,
  `no request of ${RATE} a second fails meanwhile`,
  `${sent} sent, ${JSON.stringify(Object.fromEntries(answers))}; median ${at(0.5)}, p99 ${at(0.99)}, most at once ${late}`,
);
// Why, as the router says it: each of its errors is a line.
if (bad.length > 0) {
  const said = (await sh(["sh", "-c", `${DOCKER} logs ${rack}_router 2>&1`])).split("\n");
  const errors = said.filter((line) => line.includes('"level":"error"')).slice(-20);
  process.stdout.write(errors.map((line) => `  ${line}\n`).join(""));
}
const services = (await sh([DOCKER, "service", "ls", "-q", "--filter", `name=${rack}_`]))
  .split("\n")
  .filter(Boolean);
await sh([DOCKER, "service", "rm", ...services]);
await sh([DOCKER, "rm", "-f", `${rack}_router`]);
