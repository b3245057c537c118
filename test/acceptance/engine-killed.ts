import { sandbox, sh } from "../support/davit.ts";
import { project } from "../support/projects.ts";
import { random, seed, verdict } from "./verdict.ts";

/* An engine that dies while a build's files go to it: one line says so, nothing of the build stays, and the next one works. */
const ROUNDS = Number(process.env["ROUNDS"] ?? 8);
const next = random(seed());
const dir = `/tmp/davit-dk-${crypto.randomUUID().slice(0, 8)}`;
const env = { DOCKER_HOST: `unix://${dir}/sock` };

/** A bridge of its own: an engine without one takes that of others away. */
const BRIDGE = `davit${Math.floor(next() * 1e6)}`;
await sh(["ip", "link", "add", BRIDGE, "type", "bridge"]);
await sh(["ip", "addr", "add", "10.213.0.1/24", "dev", BRIDGE]);
let runs = 0;

async function startEngine() {
  await sh(["mkdir", "-p", dir]);
  await sh(["sh", "-c", `rm -f ${dir}/pid ${dir}/exec/containerd/*.pid ${dir}/exec/containerd/*.sock*`]);
  const child = Bun.spawn(
    [
      ...["dockerd", "--data-root", `${dir}/data`, "--exec-root", `${dir}/exec`, "-H", env.DOCKER_HOST],
      ...["--pidfile", `${dir}/pid`, "--bridge", BRIDGE, "--iptables=false"],
    ],
    { stdout: "ignore", stderr: Bun.file(`${dir}/log${++runs}`) },
  );
  for (let tries = 0; tries < 200; tries++) {
    const answer = await sh(["curl", "-s", "--unix-socket", `${dir}/sock`, "http://docker/_ping"]).catch(
      () => "",
    );
    if (answer === "OK") return child;
    await Bun.sleep(100);
  }
  throw new Error(`the engine did not start, see ${dir}/log${runs}`);
}

using box = sandbox();
const root = await project(box.join("shop"), {
  "convox.yml": "services:\n  web:\n    build: .\n",
  Dockerfile: "FROM scratch\nCOPY large /large\n",
});
let engine = await startEngine();
const run = () => box.run(["build", "-a", "shop", "--id"], { cwd: root, env });
const fresh = () => sh(["sh", "-c", "head -c 700000000 /dev/urandom > large"], { cwd: root });
await fresh();
const began = performance.now();
const whole = await run();
const took = performance.now() - began;
verdict(whole.code === 0, "a build of 700 MB without a fault", `${(took / 1000).toFixed(1)} s`);

let bad = 0;
for (let round = 0; round < ROUNDS; round++) {
  await fresh();
  const building = run();
  await Bun.sleep(((round + next()) / ROUNDS) * took * 0.9);
  // With the containerd that it keeps.
  await sh(["pkill", "-9", "-f", `^[^ ]*(dockerd|containerd) .*${dir}`]);
  await engine.exited;
  const { code, stderr } = await building;
  const [build] = await box.json(["builds", "-a", "shop"]);
  const line = stderr.split("\n").filter((text) => text.startsWith("error: "));
  const finished = code === 0 && build.status === "complete";
  const told = code === 1 && build.status === "failed" && line.length === 1 && !/^ +at /m.test(stderr);
  if (!finished && !told) {
    bad++;
    process.stdout.write(`${code} ${build.status} ${stderr}\n`);
  } else process.stdout.write(`${finished ? "it was done before" : line[0]}\n`);
  engine = await startEngine();
}
const after = await run();
verdict(
  bad === 0,
  `an engine killed at ${ROUNDS} moments of a build is one line and a failed build`,
  `${bad} were not`,
);
verdict(after.code === 0, "the next build works", after.code === 0 ? after.stdout : after.stderr);
const left = await sh([
  "sh",
  "-c",
  `ls ${box.join("home/racks/local")}/work 2>/dev/null; ls ${box.join("home/racks/local")}/blobs/sha256 | wc -l`,
]);
process.stdout.write(`left: ${left}`);
engine.kill();
await engine.exited;
await sh([
  "sh",
  "-c",
  `grep -F ${dir} /proc/self/mounts | cut -d' ' -f2 | sort -r | xargs -r umount -l; rm -rf ${dir}`,
]);
await sh(["ip", "link", "del", BRIDGE]);
