import { expect, test } from "bun:test";
import { Once } from "../../src/once.ts";

test("what worked is remembered, what failed is asked for anew, and who asks meanwhile shares it", async () => {
  const once = new Once<number>();
  let tries = 0;
  const ask = () =>
    once.get(async () => {
      await Bun.sleep(1);
      if (++tries < 3) throw new Error(`try ${tries}`);
      return tries;
    });
  const both = await Promise.allSettled([ask(), ask()]);
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(tries).toBe(1);
  await expect(ask()).rejects.toThrow("try 2");
  expect([await ask(), await ask(), tries]).toEqual([3, 3, 3]);
});
