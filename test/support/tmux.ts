import { sh } from "./davit.ts";
import { tempDir } from "./temp.ts";

/** Runs a command on a terminal of tmux; its exit code stands on the screen when it has ended. */
export async function tmux(command: string[], env: Record<string, string | undefined>) {
  const dir = tempDir();
  const socket = dir.join("tmux");
  const call = (...args: string[]): Promise<string> =>
    sh(["tmux", "-f", "/dev/null", "-S", socket, ...args], { env: { ...env, TERM: "xterm" } });
  const words = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  await call("new-session", "-d", "-x", "80", "-y", "24", `${words}; echo "exit code $?"; sleep 1000`);
  await call("set-option", "-g", "window-size", "manual");
  const text = (): Promise<string> => call("capture-pane", "-p");
  return {
    text,
    /** Types keys, as tmux names them, and waits until the screen shows something. */
    async type(keys: string[], until: RegExp): Promise<void> {
      if (keys.length > 0) await call("send-keys", ...keys);
      let seen = "";
      for (let tries = 0; tries < 200; tries++) {
        seen = await text();
        if (until.test(seen)) return;
        await Bun.sleep(50);
      }
      throw new Error(`the screen does not show ${until}:\n${seen}`);
    },
    resize: (columns: number, rows: number): Promise<string> =>
      call("resize-window", "-x", String(columns), "-y", String(rows)),
    async [Symbol.asyncDispose]() {
      await call("kill-server").catch(() => undefined);
      dir[Symbol.dispose]();
    },
  };
}
