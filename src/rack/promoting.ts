import { DavitError, reasonOf } from "../errors.ts";
import { loadConvoxYml } from "../manifest/convox-yml.ts";
import { environmentOf } from "../runtime/environment.ts";
import type { RunningApp, RunningService, Runtime } from "../runtime/runtime.ts";
import { timerService } from "../runtime/timers.ts";
import { admit } from "./admission.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { parseEnv } from "./env-text.ts";
import type { Promotion } from "./promotion-ledger.ts";
import type { PromoteOptions } from "./rack.ts";
import { AppResources } from "./resources.ts";
import { publishRoutes, routerSettings } from "./routing.ts";
import { forgetImages, imagesToRun } from "./run-images.ts";
import { scaled } from "./scaling.ts";

/** Between signs of life of a promotion, in milliseconds: so long a cancel waits at most. */
const BEAT = 2000;

/** A promotion that has begun: it is on record, and `done` says how it ends. */
export interface Promoting {
  done: Promise<void>;
}

/**
 * Makes a release the one that runs. All services go over together; where one does not get
 * well, all go back, and the error says which and why.
 */
export async function startPromotion(
  parts: EmbeddedParts,
  app: string,
  id: string,
  options: PromoteOptions,
): Promise<Promoting> {
  const runtime = await requireRuntime(parts);
  await settlePromotions(parts);
  await admit(parts, app, id);
  const promotion = await parts.ledger.promotions.begin(app, id);
  const done = alive(parts, promotion, (cancelled) =>
    carryOver(parts, runtime, promotion, options, cancelled),
  );
  done.catch(() => undefined);
  return { done };
}

async function carryOver(
  parts: EmbeddedParts,
  runtime: Runtime,
  promotion: Promotion,
  { signal, onState, ...wanted }: PromoteOptions,
  cancelled: AbortSignal,
): Promise<void> {
  const { app, release } = promotion;
  try {
    const either = signal ? AbortSignal.any([signal, cancelled]) : cancelled;
    const running = withOptions(await runningApp(parts, runtime, app, release), wanted);
    await runtime.apply(running, onState ? { onState } : {}, either);
  } catch (error) {
    const failure = unhappy(promotion, error, signal?.aborted ?? false);
    // Said before the app is running again: who waits for that looks for the reason next.
    await parts.ledger.appFacts.set(app, "unpromoted", failure.message);
    await goBack(parts, runtime, promotion).catch((cause: unknown) => {
      throw stuck(promotion, error, cause);
    });
    throw failure;
  }
  await parts.ledger.promotions.end(promotion, release);
  await publishRoutes(parts, runtime);
  await tidy(parts, runtime, promotion).catch(() => undefined);
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

/** Brings back what processes have left in between. */
export async function settlePromotions(parts: EmbeddedParts): Promise<void> {
  for (const promotion of await parts.ledger.promotions.takeAbandoned()) {
    const runtime = await parts.runtime();
    if (runtime) await alive(parts, promotion, () => goBack(parts, runtime, promotion));
  }
}

async function requireRuntime(parts: EmbeddedParts): Promise<Runtime> {
  const runtime = await parts.runtime();
  if (!runtime) throw new DavitError("unsupported", "this rack runs nothing", { hint: "davit rack install" });
  return runtime;
}

/** Where even that fails, whoever looks next tries again. */
async function goBack(parts: EmbeddedParts, runtime: Runtime, promotion: Promotion): Promise<void> {
  const { app, before } = promotion;
  const { promotions } = parts.ledger;
  await promotions.revert(promotion);
  try {
    if (before === "") await runtime.remove(app);
    else await runtime.apply(await runningApp(parts, runtime, app, before), {}, new AbortController().signal);
  } catch (error) {
    await promotions.leave(promotion);
    throw error;
  }
  await promotions.end(promotion, before);
}

function unhappy({ app, release, before }: Promotion, error: unknown, interrupted: boolean): DavitError {
  const back = before === "" ? "nothing runs" : `${before} runs`;
  if (interrupted) return new DavitError("interrupted", `Interrupted: ${back}`, { cause: error });
  return new DavitError("conflict", `Cannot promote ${release}, so ${back}: ${reasonOf(error)}`, {
    cause: error,
    hint: `davit logs -a ${app}`,
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

async function alive<T>(
  { ledger }: EmbeddedParts,
  promotion: Promotion,
  work: (cancelled: AbortSignal) => Promise<T>,
): Promise<T> {
  const cancel = new AbortController();
  const renew = async (): Promise<void> => {
    if ((await ledger.promotions.renew(promotion)) === "cancelled")
      cancel.abort(new DavitError("conflict", "it was cancelled"));
  };
  const beat = setInterval(() => void renew().catch(() => undefined), BEAT);
  try {
    return await work(cancel.signal);
  } finally {
    clearInterval(beat);
  }
}

/** A release, to run something of it. */
export async function releaseToRun(
  parts: EmbeddedParts,
  app: string,
  id: string,
): Promise<{ runtime: Runtime; running: RunningApp }> {
  const runtime = await requireRuntime(parts);
  if ((await parts.ledger.apps.find(app)).release !== id) await admit(parts, app, id, "run");
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
