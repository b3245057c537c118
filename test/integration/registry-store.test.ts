import { parseReference } from "../../src/oci/reference.ts";
import { RegistryStore } from "../../src/oci/registry-store.ts";
import { testStore } from "../contract/store.ts";
import { peer } from "../support/peers.ts";
import { startRegistry } from "../support/registry.ts";

for (const [name, program] of [
  ["Debian's docker-registry", "docker-registry"],
  ["distribution v3", peer("registry")],
])
  testStore(`RegistryStore over ${name}`, async () => {
    const registry = await startRegistry(undefined, program);
    const store = new RegistryStore(parseReference(`${registry.host}/team/app`), {
      env: { DOCKER_CONFIG: "/nonexistent" },
      push: true,
    });
    return Object.assign(store, { [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose]() });
  });
