import { dirname } from "node:path";
import { DavitError } from "../errors.ts";
import { faultsOf } from "../manifest/rules.ts";
import { shellQuote } from "../shell-words.ts";
import type { FactChange } from "./app-fact-ledger.ts";
import { readConsent } from "./consent.ts";
import { claimDomains, namedRelease } from "./domains.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { type Lack, lackingConsent } from "./lacking.ts";
import { scaled } from "./scaling.ts";

/**
 * Throws where a release may not run here: `invalid` with all mistakes in its manifest, `denied`
 * with all that it wants of the nodes without the rack's consent, `conflict` with domains of other
 * apps. To be called before anything changes; it claims the release's domains for its app. Nobody
 * asks again for a release that runs already, or that an app goes back to. `facts` are about to be set.
 */
export async function admit(
  parts: EmbeddedParts,
  app: string,
  id: string,
  { doing = "promote", facts = {} }: { doing?: "promote" | "run"; facts?: FactChange } = {},
): Promise<void> {
  const release = await namedRelease(parts, app, id);
  const { manifest } = release;
  const faults = faultsOf(manifest).map(({ line, message }) => `line ${line}: ${message}`);
  if (faults.length > 0)
    throw new DavitError("invalid", `Cannot ${doing} ${id}: ${faults.join("; ")}`, {
      hint: "`davit check` lists every mistake",
    });
  const lacks = await lackingConsent(
    {
      app,
      services: await Promise.all(manifest.services.map((service) => scaled(parts, app, service, facts))),
      // On a rack without a server the user may use the engine anyway.
      resources: parts.upkeep.hasServer ? manifest.resources : [],
      secret: [dirname(dirname(parts.dir))],
    },
    readConsent(await parts.settings.params()),
  );
  if (lacks.length > 0) throw withoutConsent(`Cannot ${doing} ${id}`, lacks);
  if (doing === "promote") await claimDomains(parts, app, id, release);
}

function withoutConsent(what: string, lacks: readonly Lack[]): DavitError {
  const whats = [...new Set(lacks.map(({ message }) => message))].join("; ");
  const changes = [...new Set(lacks.map(({ param }) => param))].map((param) => {
    const entries = lacks.filter((lack) => lack.param === param).map(({ entry }) => entry);
    return `${param}=+${[...new Set(entries)].join(",")}`;
  });
  return new DavitError("denied", `${what}: the rack has not allowed that ${whats}`, {
    hint: `the rack's admin may allow it: \`davit rack params set ${changes.map(shellQuote).join(" ")}\``,
  });
}
