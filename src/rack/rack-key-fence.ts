import { DavitError } from "../errors.ts";
import { rackFact } from "./rack-facts.ts";
import { sealedWith } from "./seal.ts";
import type { Steps } from "./steps.ts";

/**
 * Throws `conflict` unless a secret is sealed with the key that the rack has now: a process that
 * opened the rack before its key was changed has the old one. Part of every write of a secret.
 */
export function* requireKeyOf(sealed: string): Steps<void> {
  const key = yield* rackFact("key");
  if (key === undefined || sealed === "" || sealedWith(sealed) === key) return;
  throw new DavitError("conflict", "Cannot keep the secret: the rack's key was changed meanwhile", {
    hint: "run the command again",
  });
}
