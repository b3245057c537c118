import { mkdir } from "node:fs/promises";
import { DOCKER, sh } from "./davit.ts";
import { tempDir } from "./temp.ts";

/** Where nodes find each other, and this machine. */
const NET = "10.213";

/** Two engines in networks of their own, as two machines would be: one Swarm. */
export async function twoNodes() {
  const dir = tempDir();
  const id = crypto.randomUUID().slice(0, 4);
  const space = (node: number): string => `davit${id}${node}`;
  const inside = (node: number, ...command: string[]): Promise<string> =>
    sh(["ip", "netns", "exec", space(node), ...command]);
  await sh(["ip", "netns", "add", space(1)]);
  await sh(["ip", "netns", "add", space(2)]);
  const join = async (here: string, node: number, address: string, peer: string): Promise<void> => {
    await sh(["ip", "link", "set", here, "netns", space(node)]);
    await inside(node, "ip", "addr", "add", address, "peer", peer, "dev", here);
    await inside(node, "ip", "link", "set", here, "up");
  };
  await sh(["ip", "link", "add", `dv${id}a`, "type", "veth", "peer", "name", `dv${id}b`]);
  await join(`dv${id}a`, 1, `${NET}.3.1`, `${NET}.3.2`);
  await join(`dv${id}b`, 2, `${NET}.3.2`, `${NET}.3.1`);
  for (const node of [1, 2]) {
    await inside(node, "ip", "link", "set", "lo", "up");
    await sh(["ip", "link", "add", `dv${id}h${node}`, "type", "veth", "peer", "name", `dv${id}n${node}`]);
    await sh([
      "ip",
      "addr",
      "add",
      `${NET}.${node}.254`,
      "peer",
      `${NET}.${node}.1`,
      "dev",
      `dv${id}h${node}`,
    ]);
    await sh(["ip", "link", "set", `dv${id}h${node}`, "up"]);
    await join(`dv${id}n${node}`, node, `${NET}.${node}.1`, `${NET}.${node}.254`);
    await inside(node, "ip", "route", "add", "default", "via", `${NET}.${node}.254`);
  }
  const engines = await Promise.all([1, 2].map((node) => startEngine(dir.join(String(node)), space(node))));
  const [first = "", second = ""] = engines.map(({ host }) => host);
  await sh([DOCKER, "-H", first, "swarm", "init", "--advertise-addr", `${NET}.3.1`]);
  const token = (await sh([DOCKER, "-H", first, "swarm", "join-token", "-q", "worker"])).trim();
  await sh([DOCKER, "-H", second, "swarm", "join", "--token", token, `${NET}.3.1:2377`]);
  return {
    first,
    second,
    /** Of this machine, as both nodes reach it; and of the first node, as this machine does. */
    here: `${NET}.1.254`,
    firstAddress: `${NET}.1.1`,
    async [Symbol.asyncDispose]() {
      for (const host of [second, first])
        await sh([DOCKER, "-H", host, "swarm", "leave", "--force"]).catch(() => "");
      await Promise.all(engines.map((engine) => engine.stop()));
      for (const node of [1, 2]) {
        await sh(["ip", "netns", "del", space(node)]);
        await sh(["ip", "link", "del", `dv${id}h${node}`]).catch(() => "");
      }
      await unmountBelow(dir.path);
      dir[Symbol.dispose]();
    },
  };
}

/** An engine in a network of its own, which can be restarted. */
export async function engineApart() {
  const dir = tempDir();
  const space = `davit${crypto.randomUUID().slice(0, 5)}`;
  await sh(["ip", "netns", "add", space]);
  await sh(["ip", "netns", "exec", space, "ip", "link", "set", "lo", "up"]);
  let engine = await startEngine(dir.join("engine"), space);
  return {
    host: engine.host,
    async restart(): Promise<void> {
      await engine.stop();
      engine = await startEngine(dir.join("engine"), space);
    },
    async [Symbol.asyncDispose]() {
      await sh([DOCKER, "-H", engine.host, "swarm", "leave", "--force"]).catch(() => "");
      await engine.stop();
      await sh(["ip", "netns", "del", space]);
      await unmountBelow(dir.path);
      dir[Symbol.dispose]();
    },
  };
}

async function unmountBelow(dir: string): Promise<void> {
  await sh(["sh", "-c", `grep -F ${dir} /proc/self/mounts | cut -d' ' -f2 | sort -r | xargs -r umount -l`]);
}

async function startEngine(dir: string, space: string) {
  await mkdir(dir, { recursive: true });
  const host = `unix://${dir}/docker.sock`;
  const places = ["--data-root", `${dir}/data`, "--exec-root", `${dir}/exec`, "--pidfile", `${dir}/pid`];
  const child = Bun.spawn(
    [
      ...["nsenter", `--net=/run/netns/${space}`, "dockerd", "-H", host, ...places],
      ...["--insecure-registry", `${NET}.0.0/16`],
    ],
    { stdout: Bun.file(`${dir}/log`), stderr: Bun.file(`${dir}/log`) },
  );
  for (let tries = 0; ; tries++) {
    const answers = await sh([DOCKER, "-H", host, "version"]).then(
      () => true,
      () => false,
    );
    if (answers) break;
    if (tries === 300) throw new Error(`the engine did not start: ${await Bun.file(`${dir}/log`).text()}`);
    await Bun.sleep(100);
  }
  return {
    host,
    stop: async (): Promise<void> => {
      child.kill();
      await child.exited;
    },
  };
}
