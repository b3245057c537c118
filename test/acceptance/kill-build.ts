import { writeFile } from "node:fs/promises";
import { sandbox } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { corruptBlobs, leftovers } from "./pool-check.ts";
import { random, seed, verdict } from "./verdict.ts";

/* Kills a build at moments spread over its whole duration: its row must end as failed, and the next build work. */
const KILLS = Number(process.env["KILLS"] ?? 50);
const next = random(seed());

using box = sandbox();
const rackDir = box.join("home/racks/local");
const dir = await project(box.join("shop"), {
  "convox.yml": "services:\n  web:\n    build: .\n",
  Dockerfile: `${BASE}COPY data /data\nRUN cat /data > /copy\n`,
});
const change = () =>
  writeFile(`${dir}/data`, Buffer.from(Array.from({ length: 8_000_000 }, () => next() * 256)));

await change();
const began = performance.now();
await box.ok(["build"], { cwd: dir });
const duration = performance.now() - began;

const problems: string[] = [];
let landed = 0;
for (let i = 0; i < KILLS; i++) {
  await change();
  const before = (await list()).length;
  const child = box.spawn(["build"], { cwd: dir });
  await Bun.sleep(((i + next()) / KILLS) * duration);
  child.kill("SIGKILL");
  await child.exited;
  const newer = (await list()).slice(0, -before || undefined);
  for (const build of newer) {
    if (build.status === "complete") landed++;
    else if (build.status !== "failed") problems.push(`after kill ${i + 1} a build is ${build.status}`);
  }
  problems.push(...(await corruptBlobs(rackDir)));
  const again = await box.run(["build"], { cwd: dir });
  if (again.code !== 0) problems.push(`the re-run after kill ${i + 1} failed: ${again.stderr}`);
  else if (
    (await box.run(["builds", "export", (await list())[0]?.id ?? "", "-f", "/dev/null"], { cwd: dir }))
      .code !== 0
  )
    problems.push(`the build after kill ${i + 1} cannot be exported`);
  if ((await leftovers(rackDir)) > 0)
    problems.push(`kill ${i + 1} left half a blob behind a finished re-run`);
}
for (const problem of problems.slice(0, 5)) process.stderr.write(`${problem}\n`);
verdict(
  problems.length === 0,
  `${KILLS} kill -9 of a build: no corrupt blob, no visible half, the re-run completes`,
  `${problems.length} problems, ${landed} killed after their commit; a build takes ${Math.round(duration)} ms`,
);

async function list(): Promise<{ id: string; status: string }[]> {
  return await box.json(["builds", "-l", "1000"], { cwd: dir });
}
