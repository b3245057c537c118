import { Ledger } from "../../src/rack/ledger.ts";
import { testLedger } from "../contract/ledger.ts";
import { tempDir } from "../support/temp.ts";

testLedger("SQLite", async () => {
  const dir = tempDir();
  return {
    open: (now) => Ledger.open({ path: dir.join("ledger.db"), now }),
    [Symbol.asyncDispose]: async () => dir[Symbol.dispose](),
  };
});
