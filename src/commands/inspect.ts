import { parsePlace } from "../bundle/place.ts";
import { collect, decode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { MAX_MANIFEST } from "../oci/manifest.ts";
import { isManifestType, mediaTypes } from "../oci/media-types.ts";
import { hasReferrers, type ReadStore } from "../oci/store.ts";
import { readManifest } from "../oci/walk.ts";
import { jsonText } from "../terminal/shown.ts";
import { bytes } from "../terminal/time.ts";
import type { Command, Context, Input } from "./command.ts";
import { json } from "./show.ts";
import { openRegistry, registryFlags } from "./transfer.ts";

export const inspect: Command = {
  name: "inspect",
  args: "<image>",
  summary: "show an image's or a build's manifests, layers and referrers",
  flags: {
    raw: { type: "boolean", summary: "print the manifest's own bytes" },
    config: { type: "boolean", summary: "print the image's config" },
    ...registryFlags,
  },
  examples: ["davit inspect registry.example.com/web:1", "davit inspect archive:build.tar --json"],
  async run(input, context) {
    const [image = ""] = input.args;
    const { store, root } = await find(image, input, context);
    if (input.on("raw")) return await context.stdout.write((await readManifest(store, root)).bytes);
    if (input.on("config")) return await printConfig(store, root, context);
    const tree = await describeNode(store, root);
    if (input.on("json")) json(context, { image, ...tree });
    else show(tree, 0, context);
  },
};

async function find(
  image: string,
  input: Input,
  context: Context,
): Promise<{ store: ReadStore; root: Descriptor }> {
  const place = parsePlace(image);
  if (place.kind === "docker")
    throw new DavitError("unsupported", "Cannot inspect the engine's images", { hint: "use docker inspect" });
  if (place.kind === "registry") {
    const store = await openRegistry(place.reference, input, context);
    return { store, root: await store.resolve(place.reference.digest ?? place.reference.tag ?? "latest") };
  }
  const { findRoot, openAtRest } = await import("../bundle/open.ts");
  const opened = await openAtRest(place.path);
  if (!opened)
    throw new DavitError(
      "bad-archive",
      `Cannot inspect ${place.path}: it holds no OCI layout that can be read in place`,
    );
  return { store: opened.store, root: await findRoot(opened, place.name) };
}

interface Tree {
  mediaType: string;
  digest: string;
  size: number;
  platform?: string;
  annotations?: Record<string, string>;
  config?: Descriptor;
  layers?: Descriptor[];
  manifests?: Tree[];
  referrers?: Descriptor[];
}

/** What is named twice is opened once. */
async function describeNode(store: ReadStore, node: Descriptor, opened = new Set<string>()): Promise<Tree> {
  const { mediaType, digest, size, platform, annotations } = node;
  const own: Tree = {
    ...{ mediaType, digest, size },
    ...(platform
      ? { platform: [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/") }
      : {}),
    ...(annotations ? { annotations } : {}),
  };
  if (!isManifestType(mediaType) || opened.has(digest)) return own;
  opened.add(digest);
  const { manifest } = await readManifest(store, node);
  const found = hasReferrers(store) ? await store.referrers(digest) : [];
  const referrers = found.length > 0 ? { referrers: found } : {};
  if (manifest.kind === "image")
    return { ...own, config: manifest.config, layers: manifest.layers, ...referrers };
  const manifests: Tree[] = [];
  for (const child of manifest.manifests)
    manifests.push(
      (await store.exists(child)) === "no"
        ? { ...child, platform: "absent" }
        : await describeNode(store, child, opened),
    );
  return { ...own, manifests, ...referrers };
}

async function printConfig(store: ReadStore, root: Descriptor, context: Context): Promise<void> {
  const { manifest } = await readManifest(store, root);
  if (manifest.kind !== "image")
    throw new DavitError("usage", "Cannot print a config: this is an index", {
      hint: "name one of its manifests by digest",
    });
  const text = decode(
    await collect(await store.fetch(manifest.config), MAX_MANIFEST, manifest.config.digest),
  );
  if (manifest.config.mediaType === mediaTypes.ociConfig)
    context.stdout.print(`${jsonText(JSON.parse(text), 2)}\n`);
  else context.stdout.data(`${text}\n`);
}

function show(tree: Tree, depth: number, context: Context): void {
  const indent = "  ".repeat(depth);
  const line = (label: string, { digest, size }: { digest: string; size: number }, note = "") =>
    context.stdout.line(`${indent}${label} ${digest} ${bytes(size)}${note ? ` ${note}` : ""}`);
  const remarks = Object.entries(tree.annotations ?? {}).map(([key, value]) => `${key}=${value}`);
  line(tree.manifests ? "index" : "manifest", tree, [tree.platform, ...remarks].filter(Boolean).join(" "));
  for (const child of tree.manifests ?? []) show(child, depth + 1, context);
  if (tree.config) line("  config", tree.config);
  for (const layer of tree.layers ?? []) line("  layer", layer);
  for (const referrer of tree.referrers ?? []) line("  referrer", referrer, referrer.artifactType ?? "");
}
