import { apps } from "./api/apps.ts";
import { builds } from "./api/builds.ts";
import { objects } from "./api/objects.ts";
import { releases } from "./api/releases.ts";
import { runtime } from "./api/runtime.ts";
import { sources } from "./api/sources.ts";
import { system } from "./api/system.ts";
import type { Route } from "./route.ts";

/** Every route of the rack's API; the first that matches is taken. */
export const routes: readonly Route[] = [
  ...system,
  ...apps,
  ...objects,
  ...sources,
  ...builds,
  ...releases,
  ...runtime,
];
