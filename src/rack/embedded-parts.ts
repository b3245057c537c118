import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Engine, EngineWish } from "../build/engine.ts";
import { systemError } from "../errors.ts";
import { BlobPool } from "../oci/blob-pool.ts";
import { Once } from "../once.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { AfterCommit } from "./after-commit.ts";
import { Collector } from "./collector.ts";
import type { Env, Home } from "./home.ts";
import { checkId, type Name, type RandomSource, secureRandom } from "./ids.ts";
import { publish, sweepNotes } from "./layout-view.ts";
import type { Ledger } from "./ledger.ts";
import { openLedger } from "./open-ledger.ts";
import { REGISTRY, RUNTIME } from "./params.ts";
import { Places } from "./places.ts";
import { keepPrivate } from "./private.ts";
import { openSeal } from "./rack-key.ts";
import { RackStore } from "./rack-store.ts";
import { RegistryLogins } from "./registry-logins.ts";
import { Releases } from "./releases.ts";
import type { Seal } from "./seal.ts";
import type { Settings } from "./settings.ts";
import { type DutyWork, Upkeep } from "./upkeep.ts";

export interface EmbeddedOptions {
  env: Env;
  /** Opens the engine when the first build needs it. */
  engine: (wish: EngineWish) => Promise<Engine>;
  /** What promoted releases run on, where the rack has something. */
  runtime?: (rack: { id: string; name: string }) => Promise<Runtime>;
  /** Hears of what followed a commit, and failed. */
  onWarning?: (text: string) => void;
  /** How long a promotion outlives its last sign of life, in milliseconds. */
  promotionLease?: number;
  now?: () => Date;
  random?: RandomSource;
}

/** What the parts of an embedded rack share. */
export interface EmbeddedParts {
  name: string;
  /** Unguessable, and the same for the rack's whole life. */
  id: string;
  dir: string;
  /** What its secrets are sealed with. */
  seal: Seal;
  ledger: Ledger;
  settings: Settings;
  logins: RegistryLogins;
  releases: Releases;
  collector: Collector;
  random: RandomSource;
  now: () => Date;
  env: Env;
  engine: (wish: EngineWish) => Promise<Engine>;
  /** Where it is noted what the last builds of the app with this id were made from. */
  notes(id: string): string;
  /** Undefined where nothing was installed that could run releases. */
  runtime(): Promise<Runtime | undefined>;
  store(app: string): RackStore;
  /** Does what follows commits. */
  after: AfterCommit;
  /** Does what commits owe, after whatever changes the rack. */
  upkeep: Upkeep;
}

/** Opens all of it: the directory is made where there is none. */
export async function openParts(home: Home, name: Name, options: EmbeddedOptions): Promise<EmbeddedParts> {
  const dir = home.rackDir(name);
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw systemError(`Cannot make rack ${name}`, error);
  });
  await keepPrivate(dir);
  const ledger = await openLedger(name, dir, options);
  try {
    return await assemble(home, name, ledger, options);
  } catch (error) {
    await ledger.close();
    throw error;
  }
}

async function assemble(
  home: Home,
  name: Name,
  ledger: Ledger,
  { env, engine, runtime: openRuntime, random = secureRandom, onWarning }: EmbeddedOptions,
): Promise<EmbeddedParts> {
  const dir = home.rackDir(name);
  const id = await ledger.fact("id", () => crypto.randomUUID().slice(0, 13));
  const seal = await openSeal(ledger, name, join(dir, "key"), env);
  const settings = ledger.settings(seal);
  const logins = new RegistryLogins(settings, env);
  const places = new Places(new BlobPool(join(dir, "layout")), {
    wanted: () => settings.param(REGISTRY),
    open: async (place) => {
      const { openRegistry } = await import("./registry-place.ts");
      return openRegistry(place, { env, login: (host) => logins.forRack(host), state: home.data });
    },
  });
  const runtime = new Once<Runtime>();
  const collector = new Collector(places, ledger, join(dir, "lock.db"));
  const after = new AfterCommit(ledger, onWarning);
  const parts: EmbeddedParts = {
    ...{ name, id, dir, seal, ledger, settings, logins, collector, random, env, engine, after },
    now: ledger.now,
    notes: (id) => join(dir, "notes", checkId(id)),
    runtime: async () => {
      if (!openRuntime || (await settings.param(RUNTIME)) === "") return undefined;
      return await runtime.get(() => openRuntime({ id, name }));
    },
    releases: new Releases(ledger, seal, random),
    store: (app) => new RackStore(app, collector),
    upkeep: new Upkeep(
      { ledger, collector, dir, after },
      dutyWork(() => parts),
    ),
  };
  return parts;
}

/** How a rack does what its commits owe. */
function dutyWork(parts: () => EmbeddedParts): DutyWork {
  return {
    reroute: async () => {
      const runtime = await parts().runtime();
      if (runtime) await (await import("./reroute.ts")).rerouteAll(parts(), runtime);
    },
    routes: async () => {
      const runtime = await parts().runtime();
      if (runtime) await (await import("./routing.ts")).publishRoutes(parts(), runtime);
    },
    directory: async () => {
      const { dir, ledger } = parts();
      await publish(join(dir, "layout"), ledger);
      await sweepNotes(join(dir, "notes"), await ledger.apps.ids());
    },
  };
}
