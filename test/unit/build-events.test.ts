import { expect, test } from "bun:test";
import fc from "fast-check";
import { type BuildEvent, BuildEvents } from "../../src/terminal/build-events.ts";

/* A build's log, read back for those who show it. */

const LOG = `Building: .
#1 [internal] load build context
#1 DONE 0.0s
#2 [1/2] FROM scratch
#2 CACHED
#3 [2/2] RUN make
#3 0.412 #4 is no step
#3 0.500 DONE 1.0s
#3 ERROR: exit code 1
web: #1 [1/1] COPY . /
WARNING: #5 is fine
`;

const EVENTS: BuildEvent[] = [
  { event: "log", text: "Building: ." },
  { event: "begin", step: "#1", name: "[internal] load build context" },
  { event: "end", step: "#1", status: "done", seconds: 0 },
  { event: "begin", step: "#2", name: "[1/2] FROM scratch" },
  { event: "end", step: "#2", status: "cached", seconds: 0 },
  { event: "begin", step: "#3", name: "[2/2] RUN make" },
  { event: "output", step: "#3", seconds: 0.412, text: "#4 is no step" },
  { event: "output", step: "#3", seconds: 0.5, text: "DONE 1.0s" },
  { event: "end", step: "#3", status: "error", seconds: 0.5, error: "exit code 1" },
  { event: "begin", step: "web: #1", name: "[1/1] COPY . /" },
];

test("each line of a log is an event: a step's begin, its output, its end, or itself", () => {
  expect(new BuildEvents().read(LOG).slice(0, -1)).toEqual(EVENTS);
});

test("a log is read alike however it is cut", () => {
  const whole = new BuildEvents().read(LOG);
  fc.assert(
    fc.property(fc.array(fc.nat(LOG.length)), (cuts) => {
      const events = new BuildEvents();
      const ends = [...new Set([0, ...cuts, LOG.length])].sort((a, b) => a - b);
      const pieces = ends.slice(1).map((end, i) => LOG.slice(ends[i], end));
      expect(pieces.flatMap((piece) => events.read(piece))).toEqual(whole);
    }),
  );
});

test("no line of any log is lost", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" }).map((line) => line.replaceAll("\n", ""))), (lines) => {
      const events = new BuildEvents();
      const found = [...events.read(lines.map((line) => `${line}\n`).join("")), ...events.end()];
      expect(found.length).toBe(lines.length);
    }),
  );
});
