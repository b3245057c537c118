/** The build arg that BuildKit puts before the ids of cache mounts; no step sees it that does not ask. */
export const CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS";

/** An address that nothing answers at. */
export const NOWHERE = "127.0.0.1";

/**
 * A host name that steps of this app alone know, in their `/etc/hosts`. It is part of what
 * BuildKit finds a step's result by, as secrets, proxies and what cache mounts hold are not:
 * so no app is given what another has made of the same step with other secrets or proxies.
 */
export function tenantHost(tenant: string): string {
  return `${tenant}.invalid`;
}

/** What is one app's alone: nobody who lacks the rack's secret can tell it. */
export function tenantOf(secret: string, appId: string): string {
  return new Bun.CryptoHasher("sha256", secret).update(appId).digest("hex").slice(0, 40);
}
