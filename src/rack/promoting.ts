import { DavitError, reasonOf } from "../errors.ts";
import { loadConvoxYml } from "../manifest/convox-yml.ts";
import { environmentOf } from "../runtime/environment.ts";
import type { RunningApp, RunningService, Runtime } from "../runtime/runtime.ts";
import { timerService } from "../runtime/timers.ts";
import { admit } from "./admission.ts";
import type { FactChange } from "./app-fact-ledger.ts";
import { finishDeletion } from "./deleting.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { parseEnv } from "./env-text.ts";
import { Hold } from "./hold.ts";
import type { Promotion } from "./promotion-ledger.ts";
import type { PromoteOptions } from "./rack.ts";
import { AppResources } from "./resources.ts";
import { replaceOldRouter, routerSettings } from "./routing.ts";
import { forgetImages, imagesToRun } from "./run-images.ts";
import { scaled } from "./scaling.ts";

/** A promotion that has begun: it is on record, and `done` says how it ends. */
export interface Promoting {
  done: Promise<void>;
}

/**
 * Makes a release the one that runs. All services go over together; where one does not get
 * well, all go back, and the error says which and why. What the promotion leaves to be done
 * outside of the app is on record when `done` resolves.
 */
export async function startPromotion(
  parts: EmbeddedParts,
  app: string,
  id: string,
  options: PromoteOptions,
  facts: FactChange = {},
): Promise<Promoting> {
  const runtime = await requireRuntime(parts);
  await settleApp(parts, app);
  await admit(parts, app, id, { facts });
  await replaceOldRouter(parts, runtime);
  const promotion = await parts.ledger.promotions.begin(app, id, facts);
  const done = carryOver(parts, runtime, promotion, options);
  done.catch(() => undefined);
  return { done };
}

async function carryOver(
  parts: EmbeddedParts,
  runtime: Runtime,
  promotion: Promotion,
  { signal, onState, ...wanted }: PromoteOptions,
): Promise<void> {
  const { app, release } = promotion;
  using hold = new Hold(parts.ledger.promotions, promotion);
  try {
    const either = signal ? AbortSignal.any([signal, hold.cancelled]) : hold.cancelled;
    const running = withOptions(await runningApp(parts, runtime, app, release), wanted);
    await runtime.apply(running, { beforeChange: hold.check, ...(onState ? { onState } : {}) }, either);
    await hold.check();
  } catch (error) {
    hold.lost.throwIfAborted();
    const failure = unhappy(promotion, error, signal?.aborted ?? false);
    await goBack(parts, runtime, hold, failure.message).catch((cause: unknown) => {
      hold.lost.throwIfAborted();
      throw stuck(promotion, error, cause);
    });
    throw failure;
  }
  await parts.ledger.promotions.end(promotion, release);
  await parts.after.attempt("the engine still names images of older releases", () =>
    tidy(parts, runtime, promotion),
  );
}

function withOptions(app: RunningApp, { minimum, maximum, timeout }: PromoteOptions): RunningApp {
  const services = app.services.map((one) => {
    const { deployment } = one.service.running;
    const wanted = { minimum: minimum ?? deployment.minimum, maximum: maximum ?? deployment.maximum };
    return { ...one, service: { ...one.service, running: { ...one.service.running, deployment: wanted } } };
  });
  return { ...app, services, patience: timeout };
}

/** The images of this release and the one before stay in the engine, for a way back that needs no rack. */
async function tidy(
  parts: EmbeddedParts,
  runtime: Runtime,
  { app, before, release }: Promotion,
): Promise<void> {
  const kept = [release, before].filter((id) => id !== "");
  const builds = await Promise.all(kept.map(async (id) => (await parts.ledger.releases.find(app, id)).build));
  await forgetImages(parts, runtime, app, builds);
}

/** Brings an app back that a process has left in between two releases, or ends its deletion. */
export async function settleApp(parts: EmbeddedParts, app: string): Promise<void> {
  const left = await parts.ledger.promotions.take(app);
  if (!left) return;
  if (left.phase === "deleting") return await finishDeletion(parts, left);
  using hold = new Hold(parts.ledger.promotions, left);
  await goBack(parts, await requireRuntime(parts), hold, stopped(left));
}

/** Does the same for every app, each by itself. For servers, which try again what fails. Returns whether none failed. */
export async function settleAll(parts: EmbeddedParts): Promise<boolean> {
  let isWell = true;
  for (const { app } of await parts.ledger.promotions.abandoned()) {
    const problem = await parts.after.attempt(`Cannot bring app ${app} back`, () => settleApp(parts, app));
    isWell &&= problem === undefined;
  }
  return isWell;
}

/** The problem of an app whose promotion or deletion was stopped, and what ends it. */
export function stopped({ app, before, release, phase }: Promotion): string {
  const next = `the next command that changes it, or \`davit apps cancel ${app}\``;
  if (phase === "deleting") return `the davit that deleted it was stopped: ${next}, goes on with that`;
  const to = before === "" ? "stops it" : `brings it back to ${before}`;
  return `the davit that promoted ${release} was stopped: ${next}, ${to}`;
}

async function requireRuntime(parts: EmbeddedParts): Promise<Runtime> {
  const runtime = await parts.runtime();
  if (!runtime)
    throw new DavitError("unsupported", "this rack runs nothing", { hint: "`davit rack install` lets it" });
  return runtime;
}

/** Brings an app back to the release before. Where that fails too, the next process that changes the app tries again. */
async function goBack(parts: EmbeddedParts, runtime: Runtime, hold: Hold, why: string): Promise<void> {
  const { promotion } = hold;
  const { app, before } = promotion;
  const { promotions } = parts.ledger;
  await promotions.revert(promotion, why);
  try {
    await hold.check();
    if (before === "") await runtime.remove(app, hold.lost);
    else {
      const events = { beforeChange: hold.check };
      await runtime.apply(await runningApp(parts, runtime, app, before), events, hold.lost);
    }
    await hold.check();
  } catch (error) {
    await promotions.leave(promotion, `${why}; and the way back failed: ${reasonOf(error)}`);
    throw error;
  }
  await promotions.end(promotion, before);
}

function unhappy({ app, release, before }: Promotion, error: unknown, interrupted: boolean): DavitError {
  const back = before === "" ? "nothing runs" : `${before} runs`;
  if (interrupted) return new DavitError("interrupted", `Interrupted: ${back}`, { cause: error });
  return new DavitError("conflict", `Cannot promote ${release}, so ${back}: ${reasonOf(error)}`, {
    cause: error,
    hint: `see \`davit logs -a ${app} --no-follow\``,
  });
}

/** Neither forth nor back. */
function stuck({ app, release }: Promotion, error: unknown, cause: unknown): DavitError {
  const both = `${reasonOf(error)}; and what ran before could not be brought back: ${reasonOf(cause)}`;
  return new DavitError("conflict", `Cannot promote ${release}: ${both}`, {
    cause,
    hint: `the next command tries again; see \`davit ps -a ${app}\``,
  });
}

/** A release, to run something of it. */
export async function releaseToRun(
  parts: EmbeddedParts,
  app: string,
  id: string,
): Promise<{ runtime: Runtime; running: RunningApp }> {
  const runtime = await requireRuntime(parts);
  if ((await parts.ledger.apps.find(app)).release !== id) await admit(parts, app, id, { doing: "run" });
  return { runtime, running: await runningApp(parts, runtime, app, id) };
}

/** What a release's services are to be, with their images in the engine. */
async function runningApp(
  parts: EmbeddedParts,
  runtime: Runtime,
  app: string,
  id: string,
): Promise<RunningApp> {
  const release = await parts.releases.read(await parts.ledger.releases.find(app, id));
  const env = parseEnv(release.env);
  const manifest = await loadConvoxYml(release.manifest, "convox.yml", env);
  const { images, inside } = await imagesToRun(parts, runtime, app, release.build);
  const told = { app, build: release.build, description: release.description, rack: parts.name, release: id };
  const wanted = await Promise.all(manifest.services.map((service) => scaled(parts, app, service)));
  const resources = new AppResources(parts, app, env);
  const services = await Promise.all(
    wanted.map(async (service): Promise<RunningService> => {
      const image = images.get(service.name);
      if (image === undefined)
        throw new DavitError("not-found", `build ${release.build} has no image for service ${service.name}`);
      if (service.running.privileged)
        throw new DavitError(
          "unsupported",
          `service ${service.name} is privileged: Swarm runs none that are`,
        );
      const variables = await resources.variables(manifest, service.running);
      return { service, ...image, env: { ...variables, ...environmentOf(manifest, service, env, told) } };
    }),
  );
  const timers = manifest.timers.flatMap((timer) => {
    const base = services.find(({ service }) => service.name === timer.service);
    return base ? [timerService(timer, base)] : [];
  });
  const all = [...(await resources.services(runtime, manifest)), ...services, ...timers];
  const routed = (await routerSettings(parts)) !== undefined;
  return {
    ...{ app, id: await parts.ledger.apps.id(app) },
    release: id,
    build: release.build,
    services: all,
    routed,
    inside,
  };
}
