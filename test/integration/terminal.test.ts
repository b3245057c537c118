import { expect, test } from "bun:test";
import { davitCommand, sandbox } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { screen } from "../support/screen.ts";

/* What a person sees of a build, and what a program does. */

const LONG = 60_000;

async function shop(dir: string, run: string): Promise<string> {
  return await project(dir, {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()}; ${run}\n`,
  });
}

test(
  "on a terminal a step that runs is seen with its time and its last output, and one line stays of it",
  async () => {
    using box = sandbox();
    const dir = await shop(box.join("shop"), "echo working-now; sleep 1.5");
    const seen = screen(80, 24);
    const child = Bun.spawn([...davitCommand(), "build"], {
      ...{ cwd: dir, env: box.env({ NO_COLOR: "1", TERM: "xterm" }) },
      terminal: { cols: 80, rows: 24, data: (_, bytes) => seen.write(bytes) },
    });
    const during: string[] = [];
    const timer = setInterval(() => during.push(seen.text()), 100);
    expect(await child.exited).toBe(0);
    clearInterval(timer);
    expect(
      during.some((text) => /=> \[\d\/\d\] RUN .*1\.\ds\n => => .*\n => => working-now/.test(text)),
    ).toBe(true);
    const last = seen.text();
    expect(last).toMatch(/^Starting build\.\.\. OK$/m);
    expect(last).toMatch(/^ => \[\d\/\d\] RUN echo .* 1\.\ds$/m);
    expect(last).toMatch(/^Release: R[A-Z]{10}$/m);
    expect(last).not.toContain(" => => ");
    expect(last.split("\n").filter((line) => line.includes("RUN echo")).length).toBe(1);
  },
  LONG,
);

test(
  "on a terminal a step that failed leaves its output",
  async () => {
    using box = sandbox();
    const dir = await shop(box.join("shop"), "echo the-reason; exit 3");
    const seen = screen(100, 30);
    const child = Bun.spawn([...davitCommand(), "build"], {
      ...{ cwd: dir, env: box.env({ NO_COLOR: "1", TERM: "xterm" }) },
      terminal: { cols: 100, rows: 30, data: (_, bytes) => seen.write(bytes) },
    });
    expect(await child.exited).toBe(1);
    expect(seen.text()).toMatch(/^ => => the-reason$/m);
    expect(seen.text()).toMatch(/^error: build failed: /m);
  },
  LONG,
);

test(
  "--progress=json tells of each step on stderr, and stdout stays as it is",
  async () => {
    using box = sandbox();
    const dir = await shop(box.join("shop"), "echo hello");
    await box.ok(["apps", "create", "shop"]);
    const { stdout, stderr, code } = await box.run(["build", "--progress=json"], { cwd: dir });
    expect(code).toBe(0);
    const events = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const begin = events.find(({ event, name }) => event === "begin" && /RUN echo/.test(name));
    expect(events).toContainEqual({
      event: "output",
      step: begin.step,
      seconds: expect.any(Number),
      text: "hello",
    });
    expect(events).toContainEqual({
      event: "end",
      step: begin.step,
      status: "done",
      seconds: expect.any(Number),
    });
    expect(stdout).toMatch(
      /^Packaging source\.\.\. OK\nStarting build\.\.\. OK\nBuild: +B[A-Z]{10}\nRelease: R[A-Z]{10}\n$/,
    );
  },
  LONG,
);
