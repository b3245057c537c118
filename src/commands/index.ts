import { apps } from "./apps.ts";
import { appsCreate } from "./apps-create.ts";
import { appsDelete } from "./apps-delete.ts";
import { appsInfo } from "./apps-info.ts";
import { build } from "./build.ts";
import { builds } from "./builds.ts";
import { buildsCopy } from "./builds-copy.ts";
import { buildsDelete } from "./builds-delete.ts";
import { buildsExport } from "./builds-export.ts";
import { buildsHave } from "./builds-have.ts";
import { buildsImport } from "./builds-import.ts";
import { buildsInfo } from "./builds-info.ts";
import { buildsLogs } from "./builds-logs.ts";
import { check } from "./check.ts";
import type { Command } from "./command.ts";
import { copyImage } from "./copy.ts";
import { env } from "./env.ts";
import { envEdit } from "./env-edit.ts";
import { envGet } from "./env-get.ts";
import { envSet } from "./env-set.ts";
import { envUnset } from "./env-unset.ts";
import { init } from "./init.ts";
import { inspect } from "./inspect.ts";
import { pull } from "./pull.ts";
import { push } from "./push.ts";
import { rack } from "./rack.ts";
import { rackStart } from "./rack-start.ts";
import { racks } from "./racks.ts";
import { racksAdd } from "./racks-add.ts";
import { racksRemove } from "./racks-remove.ts";
import { registriesCheck } from "./registries-check.ts";
import { registriesLogin } from "./registries-login.ts";
import { registriesLogout } from "./registries-logout.ts";
import { registryServe } from "./registry-serve.ts";
import { releases } from "./releases.ts";
import { releasesInfo } from "./releases-info.ts";
import { releasesManifest } from "./releases-manifest.ts";
import { switchRack } from "./switch.ts";
import { verify } from "./verify.ts";
import { version } from "./version.ts";

/** Every command, in the order help lists them. */
export const commands: readonly Command[] = [
  init,
  check,
  build,
  builds,
  buildsInfo,
  buildsLogs,
  buildsExport,
  buildsImport,
  buildsCopy,
  buildsHave,
  buildsDelete,
  releases,
  releasesInfo,
  releasesManifest,
  env,
  envGet,
  envSet,
  envUnset,
  envEdit,
  apps,
  appsCreate,
  appsInfo,
  appsDelete,
  racks,
  racksAdd,
  racksRemove,
  switchRack,
  push,
  pull,
  copyImage,
  inspect,
  verify,
  registriesLogin,
  registriesLogout,
  registriesCheck,
  rack,
  rackStart,
  registryServe,
  version,
];
