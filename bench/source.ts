import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { convoxCli, startRack } from "../test/support/convox.ts";
import { davitCommand, sandbox } from "../test/support/davit.ts";
import { absent } from "../test/support/peers.ts";
import { SlowLink } from "../test/support/relay.ts";
import { Memory } from "./measure.ts";
import { writeProject } from "./project.ts";

/*
 * A directory's way to a rack elsewhere over a slow link: from the command's start to
 * `Starting build... OK`, with one file changed. The original sends a tarball of all
 * there is; its time is taken with a smaller directory, and goes with the bytes.
 */

/** 20 Mbit/s, in bytes a second. */
const RATE = 2_500_000;
/** What the original sends, in bytes. */
const SAMPLE = 200_000_000;
/** The image is not what is measured: it takes one file. */
const DOCKERFILE = "FROM scratch\nCOPY convox.yml /\n";

interface Sent {
  seconds: number;
  mib: number;
  bytes: number;
}

export interface SourceBench {
  rounds: number;
  files: number;
  bytes: number;
  onStep?: (what: string) => void;
}

export async function benchSource({ rounds, files, bytes, onStep }: SourceBench) {
  using there = sandbox();
  using here = sandbox();
  await using rack = await startRack(there);
  await using link = await new SlowLink(rack.host, RATE).listen();
  const address = (host: string): string => rack.rackUrl.replace(rack.host, host);
  const root = here.join("project");
  onStep?.(`writing ${files} files`);
  await writeProject(root, files, bytes, DOCKERFILE);
  const served = new Memory(rack.pid);
  const first = await untilStarted(root, here.env({ RACK_URL: address(rack.host) }));
  onStep?.(`the first, without the link's limit: ${first.seconds.toFixed(1)} s, ${first.mib.toFixed(0)} MiB`);
  const changed: Sent[] = [];
  for (let round = 0; round < rounds; round++) {
    await writeFile(join(root, "0/0"), crypto.getRandomValues(new Uint8Array(2_000)));
    const before = link.up;
    const sent = await untilStarted(root, here.env({ RACK_URL: address(link.host) }));
    changed.push({ ...sent, bytes: link.up - before });
    onStep?.(
      `one file changed: ${sent.seconds.toFixed(2)} s, ${link.up - before} bytes, ${sent.mib.toFixed(0)} MiB`,
    );
  }
  const original = await theOriginal(here, address(link.host), SAMPLE, onStep);
  served.sample();
  onStep?.(`the rack: ${served.peak().toFixed(0)} MiB`);
  return {
    files,
    bytes,
    first,
    rackMib: served.peak(),
    changed,
    original: { ...original, computed: (original.seconds * bytes) / SAMPLE },
  };
}

/** Runs a build to its end; the time is that until it is said to have started. */
async function untilStarted(
  cwd: string,
  env: Record<string, string | undefined>,
): Promise<Omit<Sent, "bytes">> {
  const [davit = ""] = davitCommand();
  const began = performance.now();
  const child = Bun.spawn([davit, "build", "-a", "bench"], { cwd, env, stdout: "pipe", stderr: "pipe" });
  const memory = new Memory(child.pid);
  const timer = setInterval(() => memory.sample(), 10);
  let [text, seconds] = ["", 0];
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    if (seconds === 0 && text.includes("Starting build... OK")) seconds = (performance.now() - began) / 1000;
  }
  clearInterval(timer);
  if ((await child.exited) !== 0) throw new Error(text + (await new Response(child.stderr).text()));
  return { seconds, mib: memory.peak() };
}

/** The real `convox`, where this machine has it. */
async function theOriginal(
  here: ReturnType<typeof sandbox>,
  url: string,
  bytes: number,
  onStep: SourceBench["onStep"],
): Promise<{ bytes: number; seconds: number }> {
  if (absent("convox")) return { bytes: 0, seconds: 0 };
  const convox = convoxCli(here, { RACK_URL: url });
  const root = here.join("sample");
  await writeProject(root, (100_000 * bytes) / 2_500_000_000, bytes, DOCKERFILE);
  const began = performance.now();
  const child = Bun.spawn([convox.program, "build", "-a", "bench"], {
    ...{ cwd: root, env: convox.env(), stdout: "pipe", stderr: "pipe" },
  });
  let [text, seconds] = ["", 0];
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    if (seconds === 0 && /Starting build.*OK/s.test(text)) seconds = (performance.now() - began) / 1000;
  }
  if ((await child.exited) !== 0) throw new Error(text + (await new Response(child.stderr).text()));
  onStep?.(`the original, ${bytes / 1e6} MB: ${seconds.toFixed(1)} s`);
  return { bytes, seconds };
}

if (import.meta.main) {
  const [files = 1000, megabytes = 25, rounds = 5] = process.argv.slice(2).map(Number);
  const onStep = (what: string): void => void process.stderr.write(`${what}\n`);
  const result = await benchSource({ rounds, files, bytes: megabytes * 1_000_000, onStep });
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "");
  const path = resolve(import.meta.dir, "results", `${stamp}-source-${files}.json`);
  await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
  const times = result.changed.map(({ seconds }) => seconds).sort((a, b) => a - b);
  console.log(`one file changed: ${times[Math.floor(times.length / 2)]?.toFixed(2)} s`);
  console.log(`the original, computed: ${result.original.computed.toFixed(0)} s`);
}
