import { dirname } from "node:path";
import { DavitError } from "../errors.ts";
import { type ConvoxYml, loadConvoxYml } from "../manifest/convox-yml.ts";
import { faultsOf } from "../manifest/rules.ts";
import { shellQuote } from "../shell-words.ts";
import type { FactChange } from "./app-fact-ledger.ts";
import { readConsent } from "./consent.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { parseEnv } from "./env-text.ts";
import { type Lack, lackingConsent } from "./lacking.ts";
import { scaled } from "./scaling.ts";

/**
 * Refuses a release that may not run here, with all that speaks against it: mistakes in its
 * manifest, and what it wants of the nodes without the rack's consent. It is asked before
 * anything changes. What an earlier davit has promoted runs on, and may be gone back to.
 */
export async function admit(
  parts: EmbeddedParts,
  app: string,
  id: string,
  { doing = "promote", facts = {} }: { doing?: "promote" | "run"; facts?: FactChange } = {},
): Promise<void> {
  const manifest = await manifestOf(parts, app, id);
  const faults = faultsOf(manifest).map(({ line, message }) => `line ${line}: ${message}`);
  if (faults.length > 0)
    throw new DavitError("invalid", `Cannot ${doing} ${id}: ${faults.join("; ")}`, {
      hint: "`davit check` lists every mistake",
    });
  const lacks = await lackingConsent(
    {
      app,
      services: await Promise.all(manifest.services.map((service) => scaled(parts, app, service, facts))),
      secret: [dirname(dirname(parts.dir))],
    },
    readConsent(await parts.settings.params()),
  );
  if (lacks.length > 0) throw withoutConsent(`Cannot ${doing} ${id}`, lacks);
}

async function manifestOf(parts: EmbeddedParts, app: string, id: string): Promise<ConvoxYml> {
  const { manifest, env } = await parts.releases.read(await parts.ledger.releases.find(app, id));
  return await loadConvoxYml(manifest, "convox.yml", parseEnv(env));
}

function withoutConsent(what: string, lacks: readonly Lack[]): DavitError {
  const whats = [...new Set(lacks.map(({ message }) => message))].join("; ");
  const changes = [...new Set(lacks.map(({ param }) => param))].map((param) => {
    const entries = lacks.filter((lack) => lack.param === param).map(({ entry }) => entry);
    return `${param}=+${[...new Set(entries)].join(",")}`;
  });
  return new DavitError("denied", `${what}: the rack has not allowed that ${whats}`, {
    hint: `the rack's admin may allow it: davit rack params set ${changes.map(shellQuote).join(" ")}`,
  });
}
