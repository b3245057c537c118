import { apps } from "./apps.ts";
import { appsCancel } from "./apps-cancel.ts";
import { appsCreate } from "./apps-create.ts";
import { appsDelete } from "./apps-delete.ts";
import { appsInfo } from "./apps-info.ts";
import { appsLock, appsUnlock } from "./apps-lock.ts";
import { appsParams } from "./apps-params.ts";
import { build } from "./build.ts";
import { builds } from "./builds.ts";
import { buildsCopy } from "./builds-copy.ts";
import { buildsDelete } from "./builds-delete.ts";
import { buildsExport } from "./builds-export.ts";
import { buildsHave } from "./builds-have.ts";
import { buildsImport } from "./builds-import.ts";
import { buildsImportImage } from "./builds-import-image.ts";
import { buildsInfo } from "./builds-info.ts";
import { buildsLogs } from "./builds-logs.ts";
import { check } from "./check.ts";
import type { Command } from "./command.ts";
import { copyImage } from "./copy.ts";
import { deploy } from "./deploy.ts";
import { env } from "./env.ts";
import { envEdit } from "./env-edit.ts";
import { envGet } from "./env-get.ts";
import { envSet } from "./env-set.ts";
import { envUnset } from "./env-unset.ts";
import { events } from "./events.ts";
import { exec } from "./exec.ts";
import { init } from "./init.ts";
import { inspect } from "./inspect.ts";
import { logs } from "./logs.ts";
import { ps } from "./ps.ts";
import { psInfo } from "./ps-info.ts";
import { psStop } from "./ps-stop.ts";
import { pull } from "./pull.ts";
import { push } from "./push.ts";
import { rack } from "./rack.ts";
import { rackBackup } from "./rack-backup.ts";
import { rackInstall } from "./rack-install.ts";
import { rackParams } from "./rack-params.ts";
import { rackRekey } from "./rack-rekey.ts";
import { rackRestore } from "./rack-restore.ts";
import { rackStart } from "./rack-start.ts";
import { rackToken } from "./rack-token.ts";
import { rackTokens } from "./rack-tokens.ts";
import { racks } from "./racks.ts";
import { racksAdd } from "./racks-add.ts";
import { racksRemove } from "./racks-remove.ts";
import { registries } from "./registries.ts";
import { registriesAdd } from "./registries-add.ts";
import { registriesCheck } from "./registries-check.ts";
import { registriesLogin } from "./registries-login.ts";
import { registriesLogout } from "./registries-logout.ts";
import { registriesRemove } from "./registries-remove.ts";
import { registryServe } from "./registry-serve.ts";
import { releases } from "./releases.ts";
import { releasesCreateFrom } from "./releases-create-from.ts";
import { releasesInfo } from "./releases-info.ts";
import { releasesManifest } from "./releases-manifest.ts";
import { releasesPromote } from "./releases-promote.ts";
import { releasesRollback } from "./releases-rollback.ts";
import { resources } from "./resources.ts";
import { resourcesUrl } from "./resources-url.ts";
import { restart } from "./restart.ts";
import { run } from "./run.ts";
import { scale } from "./scale.ts";
import { services } from "./services.ts";
import { switchRack } from "./switch.ts";
import { verify } from "./verify.ts";
import { version } from "./version.ts";

/** Every command, in the order help lists them. */
export const commands: readonly Command[] = [
  init,
  check,
  build,
  deploy,
  builds,
  buildsInfo,
  buildsLogs,
  buildsExport,
  buildsImport,
  buildsImportImage,
  buildsCopy,
  buildsHave,
  buildsDelete,
  releases,
  releasesInfo,
  releasesManifest,
  releasesPromote,
  releasesRollback,
  releasesCreateFrom,
  env,
  envGet,
  envSet,
  envUnset,
  envEdit,
  apps,
  appsCreate,
  appsInfo,
  appsLock,
  appsUnlock,
  appsParams,
  appsDelete,
  appsCancel,
  exec,
  logs,
  ps,
  psInfo,
  psStop,
  resources,
  resourcesUrl,
  restart,
  run,
  scale,
  services,
  racks,
  racksAdd,
  racksRemove,
  switchRack,
  push,
  pull,
  copyImage,
  inspect,
  verify,
  registries,
  registriesAdd,
  registriesRemove,
  registriesLogin,
  registriesLogout,
  registriesCheck,
  rack,
  rackInstall,
  rackParams,
  rackToken,
  rackTokens,
  rackBackup,
  rackRekey,
  rackRestore,
  rackStart,
  events,
  registryServe,
  version,
];
