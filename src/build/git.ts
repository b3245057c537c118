import { outputOf } from "../child-output.ts";

/**
 * What git knows of a directory. The exit codes decide; a machine without git,
 * or a directory outside of any repository, simply has no answer.
 */
export async function headCommit(dir: string): Promise<string | undefined> {
  return await git(["-C", dir, "rev-parse", "--verify", "--end-of-options", "HEAD"]);
}

/** `build <sha, 10 long> <subject>` of the last commit, in a tree without unstaged changes. */
export async function describeCommit(dir: string): Promise<string | undefined> {
  if ((await git(["-C", dir, "diff", "--quiet"])) === undefined) return undefined;
  return await git(["-C", dir, "log", "-n", "1", "--abbrev=10", "--format=build %h %s"]);
}

async function git(args: string[]): Promise<string | undefined> {
  try {
    const env = { ...process.env, GIT_OPTIONAL_LOCKS: "0", LC_ALL: "C" };
    const child = Bun.spawn(["git", ...args], { stdout: "pipe", stderr: "ignore", stdin: "ignore", env });
    const text = await outputOf(child.stdout);
    return (await child.exited) === 0 ? text.trim() : undefined;
  } catch {
    return undefined;
  }
}
