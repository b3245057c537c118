import fc from "fast-check";
import type { RegistryModel } from "./registry-model.ts";

export type Step = (model: RegistryModel) => Promise<void> | void;
const repository = fc.nat(1);
const blob = fc.nat(7);

/** One thing a visitor, an import or the clock does. */
export const step: fc.Arbitrary<Step> = fc.oneof(
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
  fc.constant<Step>((model) => model.switchStore()),
  fc.constant<Step>((model) => model.move()),
);
