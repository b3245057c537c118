import type { Descriptor } from "../oci/descriptor.ts";
import { REF_NAME } from "../oci/layout-store.ts";
import type { ReadStore } from "../oci/store.ts";
import { type ArchivePlan, type DockerEntry, planArchive } from "./archive-plan.ts";
import { Graph } from "./graph.ts";

/** A build to be written: the names its index and images go by. */
export interface BundleBuild {
  id: string;
  index: Descriptor;
  /** By service name. */
  images: Map<string, Descriptor>;
  /** What image names begin with: `<rack>/<app>`. */
  prefix: string;
}

export interface BundleOptions {
  /** Blobs that the reader has already. */
  omit?: ReadonlySet<string>;
}

/** containerd and docker read an image's name here. */
const CONTAINERD_NAME = "io.containerd.image.name";

/** Plans builds as one archive, what they share in it once. */
export async function planBundle(
  store: ReadStore,
  builds: readonly BundleBuild[],
  options: BundleOptions = {},
): Promise<ArchivePlan> {
  const graph = new Graph(store);
  const index: Descriptor[] = [];
  const docker: DockerEntry[] = [];
  for (const build of builds) {
    const services = [...build.images].sort(([a], [b]) => (a < b ? -1 : 1));
    await graph.add(build.index);
    for (const [, image] of services) await graph.add(image);
    index.push(...indexEntries(build, services));
    for (const [service, image] of services)
      docker.push({ tag: `${build.prefix}:${service}.${build.id}`, image });
  }
  await graph.addReferrers();
  return planArchive(store, graph, { index: [...index, ...graph.referrers], docker, ...options });
}

function indexEntries(build: BundleBuild, services: [string, Descriptor][]): Descriptor[] {
  const named = (descriptor: Descriptor, annotations: Record<string, string>): Descriptor => {
    const { mediaType, digest, size } = descriptor;
    return { mediaType, digest, size, annotations };
  };
  return [
    named(build.index, { [REF_NAME]: build.id }),
    ...services.map(([service, image]) =>
      named(image, {
        [CONTAINERD_NAME]: `docker.io/${build.prefix}:${service}.${build.id}`,
        [REF_NAME]: `${service}.${build.id}`,
      }),
    ),
  ];
}
