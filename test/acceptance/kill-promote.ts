import { writeFile } from "node:fs/promises";
import { startRack } from "../support/convox.ts";
import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { SHOP, webProject } from "../support/swarm.ts";
import { random, seed, verdict } from "./verdict.ts";

/*
 * A promotion whose davit is killed, or with VICTIM=server whose rack is: the next command brings
 * the app to one of its two releases, whole, says which, and the next promotion works.
 */
const KILLS = Number(process.env["KILLS"] ?? 50);
const VICTIM = process.env["VICTIM"] ?? "cli";
const next = random(seed());
using box = sandbox();
const rack = `k${crypto.randomUUID().slice(0, 6)}`;
const env = { DAVIT_RACK: rack };
await box.ok(["racks", "add", rack]);
await box.ok(["rack", "install"], { env });
const dir = await webProject(box.join("shop"), "1", SHOP.replace("grace: 2", "grace: 1"));
const build = async (word: number): Promise<string> => {
  await writeFile(`${dir}/www/index.html`, String(word));
  return (await box.json(["build"], { cwd: dir, env })).release;
};
await box.ok(["releases", "promote", await build(1), "-a", "shop"], { env });

/** Runs a command and kills what does its work after so many milliseconds. */
async function killed(args: string[], after: number): Promise<void> {
  const served = VICTIM === "server" ? await startRack(box, rack) : undefined;
  const child = box.spawn(args, { env: served ? { RACK_URL: served.rackUrl } : env });
  await Bun.sleep(after);
  // The client only watches: it is killed so that it need not wait.
  if (served) await served.kill("SIGKILL");
  child.kill("SIGKILL");
  await child.exited;
}

const measured = await build(2);
const began = performance.now();
await box.ok(["releases", "promote", measured, "-a", "shop"], { env });
const took = performance.now() - began;
process.stdout.write(`a promotion takes ${(took / 1000).toFixed(1)} s\n`);

let [problems, went, stayed] = [0, 0, 0];
for (let kill = 0; kill < KILLS; kill++) {
  const before: string = (await box.json(["apps", "info", "shop"], { env })).release;
  const after = await build(3 + kill);
  await killed(["releases", "promote", after, "-a", "shop"], ((kill + next()) / KILLS) * took * 1.05);
  // One that had ended is not updating any more: nothing is to be brought back then.
  await box.run(["apps", "cancel", "shop"], { env });
  const app = await box.json(["apps", "info", "shop"], { env });
  const running: { service: string; release: string; status: string }[] = await box.json(
    ["ps", "-a", "shop"],
    { env },
  );
  const whole = ["web", "worker"].every((service) =>
    running.some((one) => one.service === service && one.release === app.release && one.status === "running"),
  );
  const mixed = running.some(({ release }) => release !== app.release);
  if (app.release === after) went++;
  else stayed++;
  if (app.status !== "running" || !whole || mixed || ![before, after].includes(app.release)) {
    problems++;
    process.stdout.write(`kill ${kill}: ${JSON.stringify({ before, after, app, running })}\n`);
  }
}
const last = await box.run(["releases", "promote", await build(1000), "-a", "shop"], { env });
verdict(
  problems === 0,
  `${KILLS} promotions, the ${VICTIM} killed at moments spread over their time`,
  `${problems} problems; ${stayed} stayed, ${went} went over`,
);
verdict(last.code === 0, "the next promotion works", last.stderr || "it does");
const services = (await sh([DOCKER, "service", "ls", "-q", "--filter", `name=${rack}_`]))
  .split("\n")
  .filter(Boolean);
if (services.length > 0) await sh([DOCKER, "service", "rm", ...services]);
