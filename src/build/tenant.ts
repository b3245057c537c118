/** The build arg that BuildKit puts before the ids of cache mounts. Steps do not see it unless they declare it. */
export const CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS";

/** An address that nothing answers at. */
export const NOWHERE = "127.0.0.1";

/**
 * A host name that only this app's steps have in their `/etc/hosts`. It is part of the key by which
 * BuildKit finds a step's result again; secrets, proxies and the content of cache mounts are not. So
 * an app never gets the result that another app's secrets or proxy gave the same step.
 */
export function tenantHost(tenant: string): string {
  return `${tenant}.invalid`;
}

/** The tenant of an app: a word that cannot be computed without the rack's secret. `appId` is the app's id. */
export function tenantOf(secret: string, appId: string): string {
  return new Bun.CryptoHasher("sha256", secret).update(appId).digest("hex").slice(0, 40);
}
