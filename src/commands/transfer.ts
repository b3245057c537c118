import type { CopyEvents } from "../oci/copy.ts";
import type { Reference } from "../oci/reference.ts";
import type { RegistryStore } from "../oci/registry-store.ts";
import type { Context, Flag, Input } from "./command.ts";

/** Flags of commands that talk to registries. */
export const registryFlags: Record<string, Flag> = {
  "plain-http": { type: "strings", summary: "a host to reach by plain http" },
  insecure: { type: "strings", summary: "a host whose certificate is not checked" },
  "limit-rate": { type: "string", summary: "bytes a second at most, like 5M" },
};

/** What it would move, before anything moves. */
export const planFlag: Record<string, Flag> = {
  plan: { type: "boolean", summary: "print what would move, and move nothing" },
};

/** The environment with what flags say of hosts. */
function withHosts(input: Input, env: Context["env"]): Context["env"] {
  const add = (name: string, hosts: string[]) =>
    hosts.length > 0 ? { [name]: [env[name] ?? "", ...hosts].join(",") } : {};
  return {
    ...env,
    ...add("DAVIT_PLAIN_HTTP", input.texts("plain-http")),
    ...add("DAVIT_INSECURE", input.texts("insecure")),
  };
}

/** How to open registries, as flags and environment say. */
export async function registryOptions(input: Input, context: Context) {
  const [{ Home }, { RateLimit }, { parseSize }] = await Promise.all([
    import("../rack/home.ts"),
    import("../http/rate-limit.ts"),
    import("../volumes.ts"),
  ]);
  const limit = input.text("limit-rate");
  for (const host of input.texts("insecure"))
    context.stderr.line(`warning: the certificate of ${host} is not checked`);
  return {
    env: withHosts(input, context.env),
    signal: context.signal,
    rate: limit === undefined ? undefined : new RateLimit(parseSize(limit, "--limit-rate")),
    state: new Home(context.env).data,
    onNote: (text: string) => context.stderr.line(text),
  };
}

/** Opens a repository of a registry. */
export async function openRegistry(
  reference: Reference,
  input: Input,
  context: Context,
  more: { push?: boolean; mountFrom?: readonly string[] } = {},
): Promise<RegistryStore> {
  const { RegistryStore } = await import("../oci/registry-store.ts");
  return new RegistryStore(reference, { ...(await registryOptions(input, context)), ...more });
}

/** Shows a copy under way, and counts what it moves. */
export function copyProgress(
  what: string,
  context: Context,
): CopyEvents & { moved: number; skipped(): void } {
  const events = {
    moved: 0,
    bytes(count: number): void {
      events.moved += count;
      context.progress.show({ what, done: events.moved });
    },
    skipped(): void {
      context.progress.show({ what, done: events.moved });
    },
    warning(text: string): void {
      context.stderr.line(`warning: ${text}`);
    },
  };
  return events;
}
