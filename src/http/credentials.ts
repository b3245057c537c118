import { type Credentials, dockerCredentials, type Env } from "./docker-auth.ts";

/**
 * Who we are to a registry: what docker's settings say, else what the cloud this
 * machine runs in, or is logged in to, gives for its own registries.
 */
export async function registryCredentials(
  host: string,
  { env, signal }: { env: Env; signal?: AbortSignal | undefined },
): Promise<Credentials | undefined> {
  const own = await dockerCredentials(host, env);
  if (own) return own;
  if (host.endsWith(".amazonaws.com") || host.endsWith(".amazonaws.com.cn") || host.endsWith(".on.aws")) {
    const { ecrCredentials, isEcr } = await import("./ecr.ts");
    return isEcr(host) ? await ecrCredentials(host, env, signal) : undefined;
  }
  if (host.endsWith("gcr.io") || host.endsWith(".pkg.dev")) {
    const { googleCredentials, isGoogle } = await import("./google.ts");
    return isGoogle(host) ? await googleCredentials(env, signal) : undefined;
  }
  if (host.includes(".azurecr.")) {
    const { azureCredentials, isAzure } = await import("./azure.ts");
    return isAzure(host) ? await azureCredentials(host, env, signal) : undefined;
  }
  return undefined;
}
