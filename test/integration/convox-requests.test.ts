import { expect, test } from "bun:test";
import { convoxCli, startRack } from "../support/convox.ts";
import { sandbox } from "../support/davit.ts";
import { absent } from "../support/peers.ts";
import { BASE, project } from "../support/projects.ts";
import { type Recorded, Recorder } from "../support/recorder.ts";

/* What davit asks of a Convox rack beside what the real CLI asks, command by command. */

const LONG = 120_000;

/** What differs from run to run is taken out, and so is what each asks as often as it likes. */
function normal(requests: readonly Recorded[]): string[] {
  const lines = requests.map(({ line, body }) => {
    const path = line
      .replace(/\bR[A-Z]{10}\b/g, "R")
      .replace(/\bB[A-Z]{10}\b/g, "B")
      .replace(/tmp\/[0-9a-f]{30}/, "tmp/K");
    const text = JSON.stringify(body)
      .replace(/\b[BR][A-Z]{10}\b/g, "ID")
      .replace(/tmp\/[0-9a-f]{30}/, "tmp/K");
    return body === "nothing" ? path : `${path} ${text}`;
  });
  return [...new Set(lines)].filter((line) => !/^GET \/(machines|racks|system)\b/.test(line));
}

test.skipIf(absent("convox"))(
  "convox and davit ask a Convox rack for the same",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box);
    await box.ok(["apps", "create", "shop"]);
    await using rack = await startRack(box);
    await using recorder = new Recorder(rack.url);
    const RACK_URL = rack.rackUrl.replace(rack.host, recorder.host);
    const dir = await project(box.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}ARG A\nRUN echo ${crypto.randomUUID()}\n`,
    });
    const record = async (run: () => Promise<unknown>): Promise<string[]> => {
      recorder.requests.length = 0;
      await run();
      return normal(recorder.requests);
    };
    const both = async (args: string[]) => {
      const theirs = await record(() => convox.run(args, { cwd: dir, env: { RACK_URL } }));
      const ours = await record(() => box.run(args, { cwd: dir, env: { RACK_URL, TEST: "true" } }));
      return { ours, theirs };
    };
    const build = [
      "build",
      "-a",
      "shop",
      "-d",
      "text",
      "--build-args",
      "A=1",
      "--build-args",
      "BUILD_ID",
      "--no-cache",
      "--development",
    ];
    const { ours: built, theirs: real } = await both(build);
    // davit first makes sure that the app is there.
    expect(built.filter((line) => line !== "GET /apps/shop")).toEqual(real);
    const [newest] = await box.json(["builds", "-a", "shop"]);
    const [release] = await box.json(["releases", "-a", "shop"]);
    for (const args of [
      ["apps"],
      ["apps", "info", "shop"],
      ["builds", "-a", "shop", "-l", "3"],
      ["builds", "info", newest.id, "-a", "shop"],
      ["builds", "export", newest.id, "-a", "shop", "-f", box.join("b.tgz")],
      ["builds", "logs", newest.id, "-a", "shop"],
      ["releases", "-a", "shop", "-l", "3"],
      ["releases", "info", release.id, "-a", "shop"],
      ["releases", "manifest", release.id, "-a", "shop"],
      ["env", "-a", "shop"],
      ["env", "get", "A", "-a", "shop"],
      ["env", "set", "A=1", "B=2", "-a", "shop"],
      ["env", "unset", "A", "-a", "shop"],
      ["registries"],
      ["registries", "add", "https://index.docker.io/v1/", "me", "secret"],
      ["registries", "remove", "https://index.docker.io/v1/"],
      ["rack", "params", "set", "BuildCache=Yes", "BuildCacheCleanup=No"],
      ["releases", "create-from", "--build-from", release.id, "--env-from", release.id, "-a", "shop"],
    ]) {
      const { ours, theirs } = await both(args);
      const known = new Set(theirs);
      // Less is fine where the original asks twice; what changes something must be the same.
      expect({ args, more: ours.filter((line) => !known.has(line) && !line.startsWith("GET ")) }).toEqual({
        args,
        more: [],
      });
      expect({
        args,
        lacks: theirs.filter((line) => !line.startsWith("GET ") && !ours.includes(line)),
      }).toEqual({ args, lacks: [] });
    }
  },
  LONG,
);
