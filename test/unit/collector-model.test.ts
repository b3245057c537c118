import { test } from "bun:test";
import fc from "fast-check";
import { PostgresServer } from "../support/postgres.ts";
import { RegistryModel } from "../support/registry-model.ts";

type Step = (model: RegistryModel) => Promise<void> | void;
const repository = fc.nat(1);
const blob = fc.nat(7);

/** One thing a visitor, an import or the clock does. */
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(repository, blob).map(
    ([r, b]): Step =>
      (model) =>
        model.putBlob(r, b),
  ),
  fc.tuple(repository, blob).map(
    ([r, b]): Step =>
      (model) =>
        model.head(r, b),
  ),
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        repository,
        fc.uniqueArray(blob, { maxLength: 3 }),
        fc.option(fc.nat(2), { nil: undefined }),
        fc.option(fc.nat(5), { nil: undefined }),
      )
      .map(
        ([r, blobs, tag, about]): Step =>
          (model) =>
            model.putManifest(r, blobs, tag, about),
      ),
  },
  fc.tuple(repository, fc.nat(5)).map(
    ([r, which]): Step =>
      (model) =>
        model.deleteManifest(r, which),
  ),
  fc.tuple(repository, blob).map(
    ([r, b]): Step =>
      (model) =>
        model.deleteBlob(r, b),
  ),
  fc.tuple(repository, repository, blob).map(
    ([from, to, b]): Step =>
      (model) =>
        model.mount(from, to, b),
  ),
  fc.tuple(repository, blob).map(
    ([r, b]): Step =>
      (model) =>
        model.beginLease(r, b),
  ),
  fc.constant<Step>((model) => model.endLease()),
  fc.nat(30).map(
    (hours): Step =>
      (model) =>
        model.wait(hours),
  ),
  { weight: 2, arbitrary: fc.constant<Step>((model) => model.collect()) },
);

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

test("nor in PostgreSQL", async () => {
  await using postgres = await PostgresServer.start();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), async (steps) => {
      await using model = await new RegistryModel(await postgres.database()).open();
      for (const run of steps) {
        await Promise.all([run(model), model.collect(), model.collect()]);
        await model.check();
      }
      await model.checkNothingLeft();
    }),
    { numRuns: Math.ceil(RUNS / 5) },
  );
}, 600_000);
