import { Database } from "bun:sqlite";
import { writeFile } from "node:fs/promises";
import { startBuildkit } from "../support/buildkitd.ts";
import { sandbox } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { random, seed, verdict } from "./verdict.ts";

/* Layer caches that are dropped when they are old, while builds make and use others. */
const ROUNDS = Number(process.env["ROUNDS"] ?? 6);
const APPS = ["a", "b", "c", "d"];
const next = random(seed());
await using buildkit = await startBuildkit();
using box = sandbox();
const env = { BUILDKIT_HOST: buildkit.address, DOCKER_HOST: "unix:///nowhere" };
const dirs = new Map<string, string>();
for (const app of APPS) {
  const files = {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()}\nCOPY file /file\nRUN cat /file\n`,
    file: "0",
  };
  dirs.set(app, await project(box.join(app), files));
  await box.ok(["apps", "create", app]);
}
await box.ok([
  "rack",
  "params",
  "set",
  "BuildCache=Yes",
  "BuildCacheCleanup=Yes",
  "BuildCacheRetentionDays=30",
]);
const build = (app: string) => box.run(["build", "-a", app], { cwd: dirs.get(app) ?? "", env });

let [failed, lost, stayed] = [0, 0, 0];
for (const app of APPS) if ((await build(app)).code !== 0) failed++;
const ledger = new Database(box.join("home/racks/local/ledger.db"));
ledger.run("PRAGMA busy_timeout = 10000");
const old = new Date(Date.now() - 40 * 86_400_000).toISOString();
const tags = (): string[] =>
  ledger
    .query<{ app: string }, []>("SELECT app FROM tags WHERE name = 'web.buildcache' ORDER BY app")
    .all()
    .map(({ app }) => app);

for (let round = 0; round < ROUNDS; round++) {
  // Two grow old; one of these is built at the same time as the other two, and so is young again.
  const shuffled = APPS.map((app) => ({ app, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ app }) => app);
  const [aged = "", revived = "", ...others] = shuffled;
  for (const app of [aged, revived])
    ledger.run("UPDATE app_facts SET value = ? WHERE app = ? AND name = 'cache web.buildcache'", [old, app]);
  const now = [revived, ...others];
  for (const app of now) await writeFile(`${dirs.get(app)}/file`, crypto.randomUUID());
  const ended = await Promise.all(now.map(build));
  failed += ended.filter(({ code }) => code !== 0).length;
  const left = tags();
  if (left.includes(aged)) stayed++;
  for (const app of now) if (!left.includes(app)) lost++;
  await buildkit.forget();
  for (const app of now) {
    const { stdout } = await build(app);
    if ((stdout.match(/ CACHED$/gm) ?? []).length < 3) {
      lost++;
      process.stdout.write(`${app} in round ${round}: ${stdout}\n`);
    }
  }
  const { stdout } = await build(aged);
  if (
    / CACHED$/m.test(
      stdout
        .split("\n")
        .filter((line) => /RUN|COPY file/.test(line))
        .join("\n"),
    )
  )
    stayed++;
}
ledger.close();
verdict(
  failed === 0,
  `${ROUNDS} rounds of builds at once while caches are dropped`,
  `${failed} builds failed`,
);
verdict(lost === 0, "what is used is kept: a fresh buildkitd rebuilds all-cached", `${lost} were lost`);
verdict(stayed === 0, "what is older than BuildCacheRetentionDays is gone", `${stayed} stayed`);
