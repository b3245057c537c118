import { describe, expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Glob } from "bun";
import { parse } from "yaml";
import { check, Type } from "../../src/schema.ts";
import { sandbox } from "../support/davit.ts";

/**
 * End-to-end specs are text: files of a project, then commands with their exit
 * code and output. `[..]` in an expected line stands for anything; what is not
 * expected is not looked at. DAVIT_SPEC=name runs the specs with that in their path.
 */
const Spec = Type.Object({
  files: Type.Optional(Type.Record(Type.String(), Type.String())),
  steps: Type.Array(
    Type.Object({
      run: Type.String(),
      stdin: Type.Optional(Type.String()),
      env: Type.Optional(Type.Record(Type.String(), Type.String())),
      code: Type.Optional(Type.Integer()),
      stdout: Type.Optional(Type.String()),
      stderr: Type.Optional(Type.String()),
    }),
    { minItems: 1 },
  ),
});

function pattern(expected: string): RegExp {
  const escaped = expected.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("\\[\\.\\.\\]", ".*");
  return new RegExp(`^${escaped}$`);
}

/** Words of a command line; quotes keep spaces together. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? "",
  );
}

const names = [...new Glob("**/*.yaml").scanSync(import.meta.dir)]
  .filter((name) => name.includes(process.env["DAVIT_SPEC"] ?? ""))
  .sort();

describe("specs", () => {
  test.each(names)("%s", async (name) => {
    const spec = check(Spec, parse(await Bun.file(join(import.meta.dir, name)).text()), name);
    using box = sandbox();
    const cwd = box.join("shop");
    await mkdir(cwd);
    for (const [path, text] of Object.entries(spec.files ?? {})) {
      await mkdir(dirname(join(cwd, path)), { recursive: true });
      await writeFile(join(cwd, path), text);
    }
    for (const step of spec.steps) {
      const result = await box.run(words(step.run), {
        cwd,
        env: { DOCKER_HOST: "unix:///nonexistent.sock", ...step.env },
        stdin: step.stdin ?? "",
      });
      const shown = `${name}: davit ${step.run}\n${result.stdout}${result.stderr}`;
      expect(`${shown}\nexit ${result.code}`).toEndWith(`exit ${step.code ?? 0}`);
      if (step.stdout !== undefined) expect(result.stdout).toMatch(pattern(step.stdout));
      if (step.stderr !== undefined) expect(result.stderr).toMatch(pattern(step.stderr));
    }
  });
});
