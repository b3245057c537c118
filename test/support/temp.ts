import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A fresh directory that is gone with the scope: `using dir = tempDir()`. */
export function tempDir(): Disposable & { path: string; join(...parts: string[]): string } {
  const path = mkdtempSync(join(tmpdir(), "davit-test-"));
  return {
    path,
    join: (...parts) => join(path, ...parts),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}
