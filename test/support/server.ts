import type { RunOptions, sandbox } from "./davit.ts";

export interface Served extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  host: string;
  url: string;
  pid: number;
  kill(signal: NodeJS.Signals): Promise<number>;
}

/** Runs a davit that serves, and waits for its first line. */
export async function serve(
  box: ReturnType<typeof sandbox>,
  args: string[],
  options: RunOptions = {},
): Promise<Served> {
  const child = box.spawn([...args, "--listen", "127.0.0.1:0"], options);
  let text = "";
  const reader = child.stdout.getReader();
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done)
      throw new Error(`davit ${args.join(" ")} did not start: ${await new Response(child.stderr).text()}`);
    text += new TextDecoder().decode(value);
  }
  const url = /^listening on (https?:\/\/\S+)\n/.exec(text)?.[1] ?? "";
  const kill = async (signal: NodeJS.Signals): Promise<number> => {
    child.kill(signal);
    return await child.exited;
  };
  return {
    ...{ url, host: url.replace(/^https?:\/\//, ""), pid: child.pid, kill },
    [Symbol.asyncDispose]: async () => void (await kill("SIGTERM")),
  };
}
