import { Memory } from "../../bench/measure.ts";
import { davitCommand, sandbox } from "../support/davit.ts";
import { answer, FaultRegistry, readBody } from "../support/fault-registry.ts";
import { generatedArchive } from "../support/generated-archive.ts";
import { verdict } from "./verdict.ts";

/* `cat bundle | davit push - REF` with 20 GB from a generator, into a registry that throws it away. Nothing may be written, and little kept in memory. */
const SIZE = Number(process.env["GB"] ?? 20) * 1_000_000_000;
const archive = await generatedArchive(SIZE);

/** Takes everything, keeps the sizes. */
const sizes = new Map<string, number>();
await using registry = await new FaultRegistry({
  discard: async (exchange) => {
    const { kind, method, name, url } = exchange;
    if (kind === "upload" && (method === "PATCH" || method === "PUT")) {
      await readBody(exchange, (chunk) => {
        sizes.set(name, (sizes.get(name) ?? 0) + chunk.byteLength);
        return true;
      });
      const size = sizes.get(name) ?? 0;
      const digest = url.searchParams.get("digest");
      if (method === "PATCH") answer(exchange, 202, { location: url.pathname, range: `0-${size - 1}` });
      else answer(exchange, 201, { location: url.pathname, "docker-content-digest": digest ?? "" });
      return true;
    }
    if (kind === "manifest" && method === "PUT") {
      await readBody(exchange, () => true);
      answer(exchange, 201, { location: url.pathname });
      return true;
    }
    return false;
  },
}).listen();

using box = sandbox();
const child = Bun.spawn(
  [
    "strace",
    "-f",
    "-qq",
    "-e",
    "trace=openat,open,creat",
    "-o",
    box.join("trace"),
    ...davitCommand(),
    "push",
    "-",
    `${registry.host}/discard/app:v1`,
  ],
  { env: box.env(), stdin: "pipe", stdout: "ignore", stderr: "pipe" },
);
const memory = new Memory(child.pid);
const timer = setInterval(() => memory.sample(), 50);
const began = performance.now();
for await (const chunk of archive.stream) {
  child.stdin.write(chunk);
  await child.stdin.flush();
}
await child.stdin.end();
const stderr = await new Response(child.stderr).text();
const code = await child.exited;
clearInterval(timer);
const seconds = (performance.now() - began) / 1000;
const stored = [...sizes.values()].reduce((sum, size) => sum + size, 0);
const trace = await Bun.file(box.join("trace")).text();
const written = trace
  .split("\n")
  .filter((line) => /O_WRONLY|O_RDWR|O_CREAT/.test(line) && !/= -1|\/dev\/|pipe:|"\/proc\//.test(line));
// What davit learns of registries and where uploads stand is kept: a few hundred bytes each.
const strange = written.filter((line) => !line.includes(box.join("home")));
verdict(
  code === 0 && stored >= archive.bytes,
  `${(SIZE / 1e9).toFixed(0)} GB from a pipe into a registry`,
  `exit ${code} ${stderr.trim().slice(-200)}, ${(stored / 1e9).toFixed(2)} GB in ${seconds.toFixed(1)} s`,
);
// strace itself is one of the processes.
verdict(
  memory.peak(davitCommand()[0]) < 128,
  "peak memory below 128 MiB",
  `${memory.peak(davitCommand()[0]).toFixed(0)} MiB`,
);
verdict(
  strange.length === 0,
  "no file is written outside of davit's notes",
  `${strange.length} others, ${written.length} notes ${strange.slice(0, 3).join("; ")}`,
);
