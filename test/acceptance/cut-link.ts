import { bigArchive } from "../support/big-archive.ts";
import { davitCommand, sandbox } from "../support/davit.ts";
import { peer } from "../support/peers.ts";
import { startRegistry } from "../support/registry.ts";
import { CutProxy } from "../support/relay.ts";
import { serve } from "../support/server.ts";
import { verdict } from "./verdict.ts";

/* Every connection is cut after 40 MB; the layers have 60. Into and out of our registry, Debian's, and distribution v3. */
const MB = 1_000_000;
const CUT = 40 * MB;

using box = sandbox();
const archive = box.join("image.tar");
const bytes = await bigArchive(archive, [60 * MB, 60 * MB, 60 * MB], 3);
// Other content for the pipe: a registry would mount what it has.
const other = box.join("other.tar");
await bigArchive(other, [60 * MB, 60 * MB, 60 * MB], 4);

await using ours = await serve(box, ["registry", "serve", box.join("layout")]);
await using debian = await startRegistry();
await using distribution = await startRegistry(undefined, peer("registry"));
const registries: [string, string][] = [
  ["davit", ours.host],
  ["docker-registry 2.8.2", debian.host],
  ["distribution v3", distribution.host],
];

for (const [name, host] of registries) {
  await once(name, "push FILE", host, (at) => box.run(["push", archive, `${at}/cut/file:v1`]), "up");
  await once(
    name,
    "push -",
    host,
    (at) => box.run(["push", "-", `${at}/cut/pipe:v1`], { stdin: Bun.file(other) }),
    "up",
  );
  await once(
    name,
    "pull -o FILE",
    host,
    (at) => box.run(["pull", `${at}/cut/file:v1`, "-o", box.join("out.tar")]),
    "down",
  );
  await once(name, "pull -o -", host, (at) => toFile(at), "down");
  for (const file of ["out.tar", "stdout.tar"]) await box.ok(["verify", box.join(file)]);
}

async function toFile(at: string) {
  const child = Bun.spawn([...davitCommand(), "pull", `${at}/cut/file:v1`, "-o", "-"], {
    env: box.env(),
    stdout: Bun.file(box.join("stdout.tar")),
    stderr: "pipe",
  });
  return { stderr: await new Response(child.stderr).text(), code: await child.exited };
}

async function once(
  registry: string,
  what: string,
  host: string,
  run: (at: string) => Promise<{ code: number; stderr: string }>,
  way: "up" | "down",
): Promise<void> {
  await using proxy = await new CutProxy(host, CUT).listen();
  const began = performance.now();
  const { code, stderr } = await run(proxy.host);
  const ratio = proxy[way] / bytes;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  verdict(
    code === 0 && ratio <= 1.05,
    `${registry}: ${what} over a link that cuts every connection after 40 MB`,
    `${code === 0 ? "completed" : `exit ${code} ${stderr.trim().slice(-300)}`}, ${ratio.toFixed(3)} x the image's bytes, ${proxy.cuts} cuts, ${seconds} s`,
  );
}
