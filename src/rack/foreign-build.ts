import type { Archive } from "../bundle/ingest.ts";
import { BUILD_LOG, type BuildRecord, putBuild, readBuild } from "../bundle/record.ts";
import { encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { loadConvoxYml, SERVICE_NAME } from "../manifest/convox-yml.ts";
import { type Descriptor, describe } from "../oci/descriptor.ts";
import { contentOf, type Store } from "../oci/store.ts";
import { Type } from "../schema.ts";
import { checkStrictJson } from "../strict-json.ts";
import { bad } from "../tar/header.ts";
import type { Incoming } from "./embedded-import.ts";

/** `build.json` of a Convox rack, as far as a build's record has a place for it. */
const ConvoxBuild = Type.Object({
  id: Type.Optional(Type.String()),
  app: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
  entrypoint: Type.Optional(Type.String()),
  "git-sha": Type.Optional(Type.String()),
  manifest: Type.Optional(Type.String()),
  started: Type.Optional(Type.String()),
  ended: Type.Optional(Type.String()),
  "wildcard-domain": Type.Optional(Type.Boolean()),
});

/** Makes a build of an archive that another tool wrote: a Convox rack, or one that knows images only. */
export async function foreignBuild(store: Store, app: string, archive: Archive): Promise<Incoming> {
  return archive.convox
    ? await convoxBuild(store, app, archive.convox)
    : await imagesBuild(store, app, archive.roots);
}

async function convoxBuild(
  store: Store,
  app: string,
  convox: NonNullable<Archive["convox"]>,
): Promise<Incoming> {
  const build = checkStrictJson(ConvoxBuild, convox.build, "build.json", "bad-archive");
  const images = new Map<string, Descriptor>();
  for (const { name, archive } of convox.parts)
    for (const { descriptor, names } of archive.roots)
      images.set(convoxService(name, names, archive.kind, build.id ?? ""), descriptor);
  const manifest = build.manifest ?? "";
  const { services } = await loadConvoxYml(manifest, "convox.yml", {}).catch((cause: unknown) => {
    throw new DavitError("bad-archive", "Cannot read the archive: the convox.yml of its build is no good", {
      cause,
    });
  });
  const missing = services.find((service) => !images.has(service.name));
  if (missing) throw bad(`it holds no image for service ${missing.name}`);
  const record = {
    ...blankRecord(app),
    ...{ id: build.id ?? "", app: build.app ?? app, description: build.description ?? "" },
    ...{ entrypoint: build.entrypoint ?? "", "git-sha": build["git-sha"] ?? "" },
    ...{
      started: build.started ?? "",
      ended: build.ended ?? "",
      "wildcard-domain": build["wildcard-domain"] ?? false,
    },
  };
  return await put(store, record, manifest, images);
}

/** v2 names a service in the image's tag, v3 in the name of its archive. */
function convoxService(file: string, names: string[], kind: Archive["kind"], id: string): string {
  const [tag] = kind === "docker" ? names : [];
  const text = tag === undefined ? file.replace(/\.tar$/, "") : tag.slice(tag.lastIndexOf(":") + 1);
  const service =
    id !== "" && text.endsWith(`.${id}`) ? text.slice(0, -id.length - 1) : (text.split(".")[0] ?? "");
  if (!SERVICE_NAME.test(service)) throw bad(`${JSON.stringify(text)} names no service`);
  return service;
}

async function imagesBuild(store: Store, app: string, roots: Archive["roots"]): Promise<Incoming> {
  const images = new Map<string, Descriptor>();
  const seen = new Set<string>();
  for (const { descriptor, names } of roots) {
    if (seen.has(descriptor.digest)) continue;
    seen.add(descriptor.digest);
    const service = serviceName(names[0]) ?? "web";
    if (images.has(service)) throw bad(`two of its images would both be service ${service}`);
    images.set(service, descriptor);
  }
  if (images.size === 0) throw bad("it holds no image");
  const lines = [...images].map(
    ([service, { digest }]) => `  ${service}:\n    image: ${service}@${digest}\n`,
  );
  return await put(store, blankRecord(app), `services:\n${lines.join("")}`, images);
}

/** A service's name from an image's: `web.BABC…` is web, `host/team/web:1` is web too. */
function serviceName(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const tagged = /(?:^|:)([a-z][a-z0-9-]*)\.B[A-Z]{10}$/.exec(name)?.[1];
  if (tagged) return tagged;
  const last = (name.split("/").at(-1) ?? "")
    .split(/[@:]/, 1)
    .join()
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-");
  return name.includes(":") || name.includes("/") ? (SERVICE_NAME.test(last) ? last : undefined) : undefined;
}

function blankRecord(app: string): BuildRecord {
  return {
    ...{ id: "", app, description: "", "git-sha": "", entrypoint: "", "wildcard-domain": false },
    ...{ started: "", ended: "", engine: "imported" },
  };
}

async function put(
  store: Store,
  record: BuildRecord,
  manifest: string,
  images: Map<string, Descriptor>,
): Promise<Incoming> {
  const text = encode("Imported: the archive has no log\n");
  const log = describe(BUILD_LOG, text);
  await store.push(log, contentOf(text));
  const index = await putBuild(store, record, manifest, log, images);
  return { content: await readBuild(store, index), images };
}
