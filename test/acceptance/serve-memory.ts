import { Memory } from "../../bench/measure.ts";
import { davitCommand, sandbox } from "../support/davit.ts";
import { generatedArchive } from "../support/generated-archive.ts";
import { serve } from "../support/server.ts";
import { verdict } from "./verdict.ts";

/* S13: GB gigabytes from a generator into our registry, and out of it again, through pipes: memory of the server and of both clients. */
const gigabytes = Number(process.env["GB"] ?? 20);
using box = sandbox();
await using server = await serve(box, ["registry", "serve", box.join("layout")]);
const ref = `${server.host}/big/app:v1`;

const serving = new Memory(server.pid);
const push = Bun.spawn([...davitCommand(), "push", "-", ref], {
  env: box.env(),
  stdin: "pipe",
  stdout: "ignore",
  stderr: "ignore",
});
const pushing = new Memory(push.pid);
const timer = setInterval(() => {
  serving.sample();
  pushing.sample();
}, 50);
for await (const chunk of (await generatedArchive(gigabytes * 1e9)).stream) {
  push.stdin.write(chunk);
  await push.stdin.flush();
}
await push.stdin.end();
const pushed = await push.exited;

const pull = Bun.spawn(["bash", "-c", `exec "$0" pull ${ref} -o - > /dev/null`, ...davitCommand()], {
  env: box.env(),
  stderr: "ignore",
});
const pulling = new Memory(pull.pid);
const second = setInterval(() => pulling.sample(), 50);
const pulled = await pull.exited;
clearInterval(timer);
clearInterval(second);
verdict(
  pushed === 0 && pulled === 0 && serving.peak() < 192 && pushing.peak() < 128 && pulling.peak() < 128,
  `S13: ${gigabytes} GB into our registry and out again`,
  `exits ${pushed} ${pulled}; server ${serving.peak().toFixed(0)} MiB, push ${pushing.peak().toFixed(0)} MiB, pull ${pulling.peak().toFixed(0)} MiB`,
);
