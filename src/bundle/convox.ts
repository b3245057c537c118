import { type Bytes, encode, streamOf } from "../bytes.ts";
import { gzipped } from "../compression.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { isIndexType } from "../oci/media-types.ts";
import type { ReadStore } from "../oci/store.ts";
import { readManifest } from "../oci/walk.ts";
import { writeTar } from "../tar/write.ts";
import { planArchive, streamPlan } from "./archive-plan.ts";
import { Graph } from "./graph.ts";

/** A build as Convox's API tells it. */
export interface ConvoxBuild {
  id: string;
  [field: string]: unknown;
}

/**
 * What a Convox v3 rack imports: gzip around a tar of `build.json` and one OCI
 * layout archive for each service, in the order of their names.
 */
export function writeConvox(
  store: ReadStore,
  build: ConvoxBuild,
  images: Map<string, Descriptor>,
): AsyncGenerator<Bytes> {
  return gzipped(archive(store, build, images));
}

async function* archive(
  store: ReadStore,
  build: ConvoxBuild,
  images: Map<string, Descriptor>,
): AsyncGenerator<Bytes> {
  const json = encode(JSON.stringify(build, undefined, 2));
  const services = [...images].sort(([a], [b]) => (a < b ? -1 : 1));
  async function* entries() {
    yield {
      name: "build.json",
      type: "file" as const,
      mode: 0o600,
      size: json.byteLength,
      body: () => streamOf(json),
    };
    for (const [service, image] of services) {
      const graph = new Graph(store);
      const single = await singlePlatform(store, image);
      await graph.add(single);
      const { mediaType, digest, size } = single;
      const plan = planArchive(store, graph, { index: [{ mediaType, digest, size }], docker: [] });
      const name = `${service}.${build.id}.tar`;
      yield { name, type: "file" as const, size: plan.size, body: () => streamPlan(plan) };
    }
  }
  yield* writeTar(entries());
}

/** A v3 rack takes one manifest a service: of several platforms the one a bundle's readers get too. */
async function singlePlatform(store: ReadStore, image: Descriptor): Promise<Descriptor> {
  if (!isIndexType(image.mediaType)) return image;
  const { manifest } = await readManifest(store, image);
  const children = manifest.kind === "index" ? manifest.manifests : [];
  const chosen =
    children.find(({ platform }) => platform?.os === "linux" && platform.architecture === "amd64") ??
    children[0];
  if (!chosen) throw new DavitError("invalid", `Cannot export ${image.digest}: it is an empty index`);
  return chosen;
}
