import { expect, test } from "bun:test";
import { type Before, causesOf, isCopied } from "../../src/build/step-causes.ts";
import { type Step, StepRecorder } from "../../src/build/steps.ts";
import type { Vertex } from "../../src/build/trace.ts";

/* What a build says of its steps: which were cached, and why the others were not. */

function vertex(digest: string, name: string, more: Partial<Vertex> = {}): Vertex {
  return { digest, name, inputs: [], cached: false, started: 1, completed: 2.5, error: "", ...more };
}

test("steps are a trace's Dockerfile instructions, with what they follow", () => {
  const recorder = new StepRecorder();
  recorder.show({
    vertexes: [
      vertex("i", "[internal] load build context"),
      vertex("f", "[build 1/2] FROM scratch"),
      vertex("c", "[build 2/2] COPY . /src", { inputs: ["f", "i"] }),
      vertex("r", "[stage-1 2/2] RUN make", { inputs: ["c"], completed: undefined }),
      vertex("e", "exporting to image"),
    ],
  });
  recorder.show({ vertexes: [vertex("r", "[stage-1 2/2] RUN make", { inputs: ["c"], cached: true })] });
  recorder.show({ vertexes: [vertex("r", "[stage-1 2/2] RUN make", { inputs: ["c"] })] });
  const step = { cached: false, seconds: 1.5, after: [], fromContext: false };
  expect(recorder.steps()).toEqual([
    { ...step, name: "[build 1/2] FROM scratch", stage: "build", text: "FROM scratch" },
    {
      ...step,
      name: "[build 2/2] COPY . /src",
      stage: "build",
      text: "COPY . /src",
      after: [0],
      fromContext: true,
    },
    { ...step, name: "[stage-1 2/2] RUN make", stage: "stage-1", text: "RUN make", after: [1], cached: true },
  ]);
});

const FROM: Step = {
  ...{ name: "[1/3] FROM base@sha256:1", stage: "", text: "FROM base@sha256:1" },
  ...{ cached: false, seconds: 0, after: [], fromContext: false },
};
const COPY: Step = {
  ...FROM,
  name: "[2/3] COPY src /src",
  text: "COPY src /src",
  after: [0],
  fromContext: true,
};
const RUN: Step = { ...FROM, name: "[3/3] RUN make", text: "RUN make", after: [1] };
const BEFORE: Before = { build: "BONE", steps: [FROM, COPY, RUN], args: [], files: [] };

function causes(steps: Step[], before: Partial<Before> | undefined = {}, noCache = false) {
  return causesOf(steps, before && { ...BEFORE, ...before }, noCache);
}

test("a step that was cached needs no cause, and a base image is none", () => {
  expect(causes([FROM, { ...COPY, cached: true }, { ...RUN, cached: true }])).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("the first build here says so", () => {
  expect(causesOf([FROM, COPY, RUN], undefined, false)).toEqual([
    undefined,
    "the first build of this service here",
    "follows [2/3] COPY src /src",
  ]);
});

test("a COPY names the files that changed, and only those it takes", () => {
  expect(causes([FROM, COPY, RUN], { files: ["README", "src/a", "src/b", "src/c", "src/d"] })).toEqual([
    undefined,
    "src/a, src/b, src/c and 1 more changed since BONE",
    "follows [2/3] COPY src /src",
  ]);
});

test("a step that is another one now says what it was, and one that is new that it is", () => {
  const cached = { ...COPY, cached: true };
  expect(causes([FROM, cached, { ...RUN, text: "RUN make all" }])[2]).toBe("was RUN make");
  expect(causes([FROM, cached, { ...RUN, text: "RUN test" }, { ...RUN, after: [2] }])[2]).toBe(
    "new since BONE",
  );
});

test("another base image is named, and what is built on it follows", () => {
  const base = { ...FROM, name: "[1/3] FROM base@sha256:2", text: "FROM base@sha256:2" };
  expect(causes([base, COPY, RUN])).toEqual([
    "was FROM base@sha256:1",
    "follows [1/3] FROM base@sha256:2",
    "follows [2/3] COPY src /src",
  ]);
});

test("build args that changed are named, never their values", () => {
  expect(causes([FROM, { ...COPY, cached: true }, RUN], { args: ["VERSION", "MODE"] })[2]).toBe(
    "build arg VERSION, MODE changed since BONE",
  );
});

test("what nothing explains is not guessed at", () => {
  expect(causes([FROM, { ...COPY, cached: true }, RUN])[2]).toContain("nothing that is known");
  expect(causes([FROM, COPY, RUN], { files: undefined })[1]).toBe("files changed; which is not known");
});

test("--no-cache is cause enough", () => {
  expect(causes([FROM, COPY, RUN], {}, true)).toEqual([undefined, "--no-cache", "--no-cache"]);
});

const copied: [string, string, boolean][] = [
  ["a/b", "COPY . /x", true],
  ["a/b", "COPY ./ /x", true],
  ["a/b", "COPY a /x", true],
  ["a/b", "COPY ./a/ /x", true],
  ["ab", "COPY a /x", false],
  ["a/b", "COPY --chown=1:1 --link c a /x", true],
  ["a b", 'COPY ["a b", "/x"]', true],
  ["package-lock.json", "COPY package*.json ./", true],
  ["yarn.lock", "COPY package*.json ./", false],
  ["x", "ADD y z", false],
  ["z", "ADD y z", false],
  ["anything", "RUN --mount=type=bind make", true],
];
for (const [path, instruction, is] of copied)
  test(`${instruction} ${is ? "takes" : "leaves"} ${path}`, () => {
    expect(isCopied(path, instruction)).toBe(is);
  });
