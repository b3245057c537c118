import { type Credentials, dockerCredentials, type Env } from "./docker-auth.ts";

/**
 * Who we are to a registry: what docker's settings say, else what the cloud this
 * machine runs in, or is logged in to, gives for its own registries.
 */
export async function registryCredentials(
  host: string,
  { env }: { env: Env; signal?: AbortSignal | undefined },
): Promise<Credentials | undefined> {
  return await dockerCredentials(host, env);
}
