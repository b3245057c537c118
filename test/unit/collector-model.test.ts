import { test } from "bun:test";
import fc from "fast-check";
import { RegistryModel } from "../support/registry-model.ts";
import { step } from "../support/registry-steps.ts";

const RUNS = Number(process.env["DAVIT_MODEL_RUNS"] ?? 30);

test("the collector never takes what a manifest, an upload, a promise or a lease needs, and leaves nothing else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      await using model = await new RegistryModel().open();
      for (const run of steps) {
        await run(model);
        await model.check();
      }
      await model.checkNothingLeft();
    }),
    { numRuns: RUNS },
  );
}, 600_000);

test("nor when it collects at the very moment of other work", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      await using model = await new RegistryModel().open();
      for (const run of steps) {
        await Promise.all([run(model), model.collect(), model.collect()]);
        await model.check();
      }
      await model.checkNothingLeft();
    }),
    { numRuns: RUNS },
  );
}, 600_000);
