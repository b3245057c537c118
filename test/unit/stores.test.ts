import { LayoutStore } from "../../src/oci/layout-store.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { testStore } from "../contract/store.ts";
import { tempDir } from "../support/temp.ts";

testStore("MemoryStore", async () => new MemoryStore());

testStore("LayoutStore", async () => {
  const dir = tempDir();
  return Object.assign(new LayoutStore(dir.path), {
    [Symbol.asyncDispose]: async () => dir[Symbol.dispose](),
  });
});
