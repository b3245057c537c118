import { stdin } from "../read-fd.ts";
import type { Output } from "./output.ts";

/** Columns and rows. */
interface Size {
  columns: number;
  rows: number;
}

/** This process's streams, for another process elsewhere; `end` gives the terminal back. */
export interface OwnStreams {
  stdin: AsyncIterable<Uint8Array<ArrayBuffer>> | undefined;
  write(output: "stdout" | "stderr", bytes: Uint8Array): Promise<void>;
  terminal?: { size: Size; resizes: AsyncIterable<Size> };
  end(): void;
}

/** A terminal is handed over whole: every key goes to the other side, and it says what is drawn. */
export function ownStreams(stdout: Output, stderr: Output): OwnStreams {
  const write = (output: "stdout" | "stderr", bytes: Uint8Array): Promise<void> =>
    (output === "stdout" ? stdout : stderr).write(bytes.slice());
  if (!process.stdin.isTTY || !stdout.isTerminal) return { stdin: stdin(), write, end: () => undefined };
  process.stdin.setRawMode(true);
  const resized = resizes();
  return {
    ...{ stdin: stdin(), write },
    terminal: { size: size(), resizes: resized.stream() },
    end: () => {
      resized.end();
      process.stdin.setRawMode(false);
    },
  };
}

function size(): Size {
  return { columns: process.stdout.columns ?? 80, rows: process.stdout.rows ?? 24 };
}

/** The latest size whenever it has changed. */
function resizes() {
  let changed = Promise.withResolvers<boolean>();
  const onResize = (): void => changed.resolve(true);
  process.stdout.on("resize", onResize);
  async function* stream(): AsyncGenerator<Size> {
    while (await changed.promise) {
      changed = Promise.withResolvers();
      yield size();
    }
  }
  const end = (): void => {
    process.stdout.off("resize", onResize);
    changed.resolve(false);
  };
  return { stream, end };
}
