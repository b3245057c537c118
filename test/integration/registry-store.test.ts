import { parseReference } from "../../src/oci/reference.ts";
import { RegistryStore } from "../../src/oci/registry-store.ts";
import { testStore } from "../contract/store.ts";
import { startRegistry } from "../support/registry.ts";

testStore("RegistryStore over Debian's docker-registry", async () => {
  const registry = await startRegistry();
  const store = new RegistryStore(parseReference(`${registry.host}/team/app`), {
    env: { DOCKER_CONFIG: "/nonexistent" },
    push: true,
  });
  return Object.assign(store, { [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() });
});
