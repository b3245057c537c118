import { writeFile } from "node:fs/promises";
import { measure } from "../../bench/measure.ts";
import { DOCKER, davitCommand, sandbox, sh } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { verdict } from "./verdict.ts";

/* Sessions, many of them, and what befalls them: one after the other, side by side, a huge file, a client that is killed. */
const ROUNDS = Number(process.env["ROUNDS"] ?? 60);
const GIGABYTES = Number(process.env["GB"] ?? 5);
const [davit = ""] = davitCommand();
using box = sandbox();

async function shop(name: string, more = ""): Promise<string> {
  return await project(box.join(name), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}${more}COPY . /src\n`,
  });
}

const one = await shop("one");
for (let i = 0; i < 200; i++)
  await writeFile(`${one}/file${i}`, crypto.getRandomValues(new Uint8Array(2000)));
let failures = 0;
for (let i = 0; i < ROUNDS; i++) {
  await writeFile(`${one}/changed`, crypto.randomUUID());
  const { code } = await box.run(["build", "-a", "shop", "--id"], { cwd: one });
  if (code !== 0) failures++;
}
verdict(
  failures === 0,
  `${ROUNDS} builds one after the other, one file changed in each`,
  `${failures} failed`,
);

const dirs = await Promise.all([0, 1, 2, 3].map((i) => shop(`side${i}`)));
for (const dir of dirs) await writeFile(`${dir}/large`, crypto.getRandomValues(new Uint8Array(65_536)));
for (const dir of dirs) await sh(["truncate", "-s", "200M", `${dir}/hollow`]);
const side = await Promise.all(dirs.map((cwd) => box.run(["build", "-a", "shop", "--id"], { cwd })));
verdict(
  side.every(({ code }) => code === 0),
  "four builds of 200 MB at once",
  side.map(({ code }) => code).join(" "),
);

const huge = await shop("huge");
await sh(
  [
    "sh",
    "-c",
    `openssl enc -aes-128-ctr -pass pass:x -nosalt < /dev/zero 2>/dev/null | head -c ${GIGABYTES}000000000 > huge`,
  ],
  { cwd: huge },
);
const measured = await measure([davit, "build", "-a", "shop", "--id"], { cwd: huge, env: box.env() });
verdict(
  measured.mib < 128,
  `one file of ${GIGABYTES} GB, in less than 128 MiB`,
  `${measured.mib.toFixed(0)} MiB, ${measured.seconds.toFixed(0)} s`,
);
await sh(["rm", `${huge}/huge`]);

const seconds = 1_000_000 + Math.floor(Math.random() * 1_000_000);
const slow = await shop("slow", `RUN sleep ${seconds}\n`);
const child = box.spawn(["build", "-a", "shop"], { cwd: slow });
const isRunning = async () => (await sh(["pgrep", "-f", `sleep ${seconds}`]).catch(() => "")) !== "";
for (let tries = 0; tries < 200 && !(await isRunning()); tries++) await Bun.sleep(100);
const began = await isRunning();
child.kill("SIGKILL");
await child.exited;
for (let tries = 0; tries < 200 && (await isRunning()); tries++) await Bun.sleep(100);
const goesOn = await isRunning();
const [build] = await box.json(["builds", "-a", "shop"]);
verdict(
  began && !goesOn && build.status === "failed",
  "a client killed in the middle of a RUN ends it",
  `${goesOn ? "it goes on" : "it ended"}, the build is ${build.status}`,
);
await sh([DOCKER, "builder", "prune", "-af"]);
