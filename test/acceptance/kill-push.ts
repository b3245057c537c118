import { bigArchive } from "../support/big-archive.ts";
import { sandbox } from "../support/davit.ts";
import { peer } from "../support/peers.ts";
import { startRegistry } from "../support/registry.ts";
import { CutProxy } from "../support/relay.ts";
import { serve } from "../support/server.ts";
import { random, seed, verdict } from "./verdict.ts";

/* kill -9 at moments spread over a whole push; the re-run must move only the rest. */
const KILLS = Number(process.env["KILLS"] ?? 100);
const MB = 1_000_000;
const next = random(seed());

using box = sandbox();
await using ours = await serve(box, ["registry", "serve", box.join("layout")]);
await using distribution = await startRegistry(undefined, peer("registry"));

await sweep("davit", ours.host);
await sweep("distribution v3", distribution.host);

async function sweep(registry: string, host: string): Promise<void> {
  const archive = box.join("image.tar");
  const total = await bigArchive(archive, [30 * MB, 20 * MB, 10 * MB, 1000], Math.floor(next() * 1e6));
  await using proxy = await new CutProxy(host, Number.POSITIVE_INFINITY).listen();
  const began = performance.now();
  await box.ok(["push", archive, `${proxy.host}/warm/up:v1`]);
  const duration = performance.now() - began;
  const problems: string[] = [];
  let [worst, resumed] = [0, 0];
  for (let i = 0; i < KILLS; i++) {
    // Other content each time: a registry would mount what it has.
    await bigArchive(archive, [30 * MB, 20 * MB, 10 * MB, 1000], Math.floor(next() * 1e9));
    const ref = `${proxy.host}/kill/run${i}:v1`;
    proxy.up = 0;
    const child = box.spawn(["push", archive, ref]);
    await Bun.sleep(((i + next()) / KILLS) * duration);
    child.kill("SIGKILL");
    await child.exited;
    await Bun.sleep(50);
    const again = await box.run(["push", archive, ref]);
    if (again.code !== 0) problems.push(`re-run ${i + 1}: ${again.stderr}`);
    if (again.stderr.includes("going on with an upload")) resumed++;
    worst = Math.max(worst, proxy.up / total);
    const pulled = await box.run(["pull", ref, "-o", box.join("back.tar")]);
    if (pulled.code !== 0) problems.push(`pull ${i + 1}: ${pulled.stderr}`);
  }
  for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
  verdict(
    problems.length === 0 && worst <= 1.1,
    `${registry}: ${KILLS} kill -9 of a push, the re-run moves only the rest`,
    `${problems.length} problems; both runs together sent ${worst.toFixed(3)} x the image at worst; ${resumed} went on inside a blob; a push takes ${Math.round(duration)} ms`,
  );
}
