import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Engine, EngineWish } from "../build/engine.ts";
import { systemError } from "../errors.ts";
import { BlobPool } from "../oci/blob-pool.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { Collector } from "./collector.ts";
import type { Env, Home } from "./home.ts";
import { type RandomSource, secureRandom } from "./ids.ts";
import { publish } from "./layout-view.ts";
import type { Ledger } from "./ledger.ts";
import { openLedger } from "./open-ledger.ts";
import { REGISTRY, RUNTIME } from "./params.ts";
import { Places } from "./places.ts";
import { openSeal } from "./rack-key.ts";
import { RackStore } from "./rack-store.ts";
import { RegistryLogins } from "./registry-logins.ts";
import { Releases } from "./releases.ts";
import type { Seal } from "./seal.ts";
import type { Settings } from "./settings.ts";

export interface EmbeddedOptions {
  env: Env;
  /** Opens the engine when the first build needs it. */
  engine: (wish: EngineWish) => Promise<Engine>;
  /** What promoted releases run on, where the rack has something. */
  runtime?: (rack: { id: string; name: string }) => Promise<Runtime>;
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
  /** Brings the layout's `index.json` up to date. */
  publish(): Promise<void>;
}

/** Opens all of it: the directory is made where there is none. */
export async function openParts(home: Home, name: string, options: EmbeddedOptions): Promise<EmbeddedParts> {
  const dir = home.rackDir(name);
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw systemError(`Cannot make rack ${name}`, error);
  });
  const ledger = await openLedger(name, dir, options.env, options.now);
  try {
    return await assemble(home, name, ledger, options);
  } catch (error) {
    await ledger.close();
    throw error;
  }
}

async function assemble(
  home: Home,
  name: string,
  ledger: Ledger,
  { env, engine, runtime: openRuntime, random = secureRandom }: EmbeddedOptions,
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
  let runtime: Promise<Runtime> | undefined;
  const collector = new Collector(places, ledger, join(dir, "lock.db"));
  return {
    ...{ name, id, dir, seal, ledger, settings, logins, collector, random, env, engine },
    now: ledger.now,
    notes: (id) => join(dir, "notes", id),
    runtime: async () => {
      if (!openRuntime || (await settings.param(RUNTIME)) === "") return undefined;
      runtime ??= openRuntime({ id, name });
      return await runtime;
    },
    releases: new Releases(ledger, seal, random),
    store: (app) => new RackStore(app, collector),
    publish: () => publish(join(dir, "layout"), ledger),
  };
}
