import { DavitError } from "../errors.ts";
import type { Credentials } from "../http/docker-auth.ts";
import { discard } from "../http/request.ts";
import { RegistryClient, type RegistryOptions } from "./registry-client.ts";
import { registryError } from "./registry-error.ts";

/** Asks the registry whether it takes this login. */
export async function checkLogin(
  host: string,
  credentials: Credentials,
  options: RegistryOptions,
): Promise<void> {
  const client = await RegistryClient.open(host, { ...options, credentials });
  const what = `Cannot log in to ${host}`;
  const response = await client.send({ method: "GET", path: "/", scope: "", what });
  if (response.status === 200) return await discard(response);
  const error = await registryError(what, host, response);
  throw new DavitError(error.code, error.message, {
    cause: error,
    hint: "check the user's name and the password",
  });
}
