import type { Steps } from "./steps.ts";

/** Where a ledger is kept. */
export interface LedgerDatabase {
  /** For messages; it holds no password. */
  readonly name: string;
  /** Whether processes of other machines may be at it. */
  readonly shared: boolean;
  /** Its clock, in milliseconds since 1970: what all who share it agree on. */
  now(): number;
  /** Runs steps that change nothing. */
  read<T>(steps: () => Steps<T>): Promise<T>;
  /** Runs steps in one transaction that no other write comes into: all of it is kept, or nothing. */
  write<T>(steps: () => Steps<T>): Promise<T>;
  /** Everything as it is at one moment, as a ledger in a file of its own. */
  copyTo(path: string): Promise<void>;
  close(): Promise<void>;
}
