import { sampleBundle } from "../support/bundles.ts";
import { sandbox } from "../support/davit.ts";
import { corruptBlobs, leftovers } from "./pool-check.ts";
import { random, seed, verdict } from "./verdict.ts";

/* Kills an import at moments spread over its whole duration, and after each looks for anything half-done. */
const KILLS = Number(process.env["KILLS"] ?? 200);
const next = random(seed());

using box = sandbox();
const rackDir = box.join("home/racks/local");
const names = Array.from({ length: 6 }, (_, i) => `svc${i}`);
await Bun.write(box.join("bundle.tar"), await sampleBundle(names, noise(4_000_000)));
const bundle = () => Bun.file(box.join("bundle.tar"));
await box.ok(["apps", "create", "shop"]);

const began = performance.now();
await box.ok(["builds", "import", "-a", "shop"], { stdin: bundle() });
const duration = performance.now() - began;
await box.ok(["builds", "delete", (await list())[0]?.id ?? "", "-a", "shop", "--yes"]);

const problems: string[] = [];
let visible = 0;
let landed = 0;
for (let i = 0; i < KILLS; i++) {
  const before = (await list()).length;
  const child = box.spawn(["builds", "import", "-a", "shop"], { stdin: bundle() });
  await Bun.sleep(((i + next()) / KILLS) * duration);
  child.kill("SIGKILL");
  const code = await child.exited;
  const after = await list();
  if (code === 0 || after.length > before) landed++;
  for (const build of after) {
    const exported = await box.run(["builds", "export", build.id, "-a", "shop", "-f", "/dev/null"]);
    if (build.status !== "complete" || exported.code !== 0) visible++;
  }
  problems.push(...(await corruptBlobs(rackDir)));
  const again = await box.run(["builds", "import", "-a", "shop", "--id"], { stdin: bundle() });
  if (again.code !== 0) problems.push(`the re-run after kill ${i + 1} failed: ${again.stderr}`);
  if ((await leftovers(rackDir)) > 0)
    problems.push(`kill ${i + 1} left half a blob behind a finished re-run`);
  for (const build of await list()) await box.ok(["builds", "delete", build.id, "-a", "shop", "--yes"]);
  const blobs = await corruptBlobs(rackDir);
  problems.push(...blobs);
}
for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
verdict(
  problems.length === 0 && visible === 0,
  `${KILLS} kill -9 of an import: no corrupt blob, no visible half, the re-run completes`,
  `${problems.length} problems, ${visible} halves, ${landed} killed after their commit; an import takes ${Math.round(duration)} ms`,
);

async function list(): Promise<{ id: string; status: string }[]> {
  return await box.json(["builds", "-a", "shop", "-l", "100"]);
}

function noise(length: number): string {
  let text = "";
  while (text.length < length) text += next().toString(36).slice(2);
  return text;
}
