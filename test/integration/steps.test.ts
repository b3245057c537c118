import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sandbox } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";

/* What a build says of its cache, by the real engine. */

const LONG = 60_000;

function dockerfile(run: string): string {
  return `${BASE}ARG VERSION\nCOPY src /src\nRUN echo ${run} $VERSION\nRUN echo end\n`;
}

test(
  "builds info says of each step whether it was cached, and what changed",
  async () => {
    using box = sandbox();
    const nonce = crypto.randomUUID();
    const dir = await project(box.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: dockerfile(nonce),
      "src/a": nonce,
      "src/b": "b",
      other: "1",
    });
    const build = async (...args: string[]) => {
      const { id } = await box.json(["build", ...args], { cwd: dir });
      const { steps } = await box.json(["builds", "info", id, "-a", "shop"]);
      const told: [boolean, string | undefined][] = steps
        .slice(-3)
        .map(({ cached, cause }: { cached: boolean; cause?: string }) => [cached, cause]);
      return { id, told };
    };
    const first = await build("--build-args", "VERSION=one");
    const follows = expect.stringMatching(/^follows \[\d+\/\d+\] /);
    expect(first.told).toEqual([
      [false, "the first build of this service here"],
      [false, follows],
      [false, follows],
    ]);
    await writeFile(join(dir, "other"), "2");
    const same = await build("--build-args", "VERSION=one");
    expect(same.told).toEqual([
      [true, undefined],
      [true, undefined],
      [true, undefined],
    ]);
    await writeFile(join(dir, "src/b"), "changed");
    const copied = await build("--build-args", "VERSION=one");
    expect(copied.told[0]).toEqual([false, `src/b changed since ${first.id}`]);
    expect(copied.told[1]).toEqual([false, follows]);
    const other = await build("--build-args", "VERSION=s3cr3t-two");
    expect(other.told.slice(0, 2)).toEqual([
      [true, undefined],
      [false, `was RUN echo ${nonce} one; build arg VERSION changed`],
    ]);
    await writeFile(join(dir, "Dockerfile"), dockerfile(`${nonce} more`));
    const changed = await build("--build-args", "VERSION=s3cr3t-two");
    expect(changed.told[1]).toEqual([false, `was RUN echo ${nonce} s3cr3t-two`]);
    const anew = await build("--no-cache", "--build-args", "VERSION=s3cr3t-two");
    expect(anew.told).toEqual([
      [false, "--no-cache"],
      [false, "--no-cache"],
      [false, "--no-cache"],
    ]);
    expect(await box.ok(["builds", "info", same.id, "-a", "shop"])).toMatch(
      /^ +CACHED +\[\d\/\d\] COPY src \/src$/m,
    );
    expect(await box.ok(["builds", "info", changed.id, "-a", "shop"])).toMatch(
      /^ +\d\.\ds +\[\d\/\d\] RUN echo .* \(was RUN echo /m,
    );
  },
  LONG,
);

test(
  "an exported build says in another rack what was cached",
  async () => {
    using box = sandbox();
    const dir = await project(box.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()}\n`,
    });
    await box.ok(["racks", "add", "west"]);
    await box.ok(["apps", "create", "shop", "-r", "west"]);
    const { id } = await box.json(["build"], { cwd: dir });
    await box.ok(["builds", "export", id, "-a", "shop", "-f", box.join("b.tar")]);
    const there = await box.json(["builds", "import", "-a", "shop", "-r", "west", "-f", box.join("b.tar")]);
    const imported = Array.isArray(there) ? there[0] : there;
    const { steps } = await box.json(["builds", "info", imported.id, "-a", "shop", "-r", "west"]);
    expect(steps.at(-1)).toMatchObject({
      service: "web",
      cached: false,
      cause: "the first build of this service here",
    });
  },
  LONG,
);
