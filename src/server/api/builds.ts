import { BuildStep } from "../../bundle/record.ts";
import { type Bytes, decode, toReadable } from "../../bytes.ts";
import { DavitError } from "../../errors.ts";
import { parseDescriptor, WireDescriptor } from "../../oci/descriptor.ts";
import type { Build } from "../../rack/rack.ts";
import type { BuildRequest } from "../../rack/served-rack.ts";
import { checkJson, Type } from "../../schema.ts";
import { json, ok } from "../answer.ts";
import { bodyOf, wholeBody } from "../body.ts";
import type { Form } from "../form.ts";
import { type RackCall, type Route, route, telling } from "../route.ts";

export const builds: readonly Route[] = [
  route(
    "GET /apps/$app/builds",
    async ({ rack, form, params: { app = "" } }) => json(await rack.builds(app, form.limit())),
    { deploy: true },
  ),
  route("POST /apps/$app/builds", create, { deploy: true }),
  route("POST /apps/$app/builds/import", importBuild, { raw: true, deploy: true, event: "build:import" }),
  route("POST /apps/$app/builds/commit", commit, { raw: true, deploy: true, event: "build:import" }),
  route("GET /apps/$app/blobs", async ({ rack, params: { app = "" } }) => json(await rack.blobs(app)), {
    deploy: true,
  }),
  route("GET /apps/$app/builds/$id.tgz", exportBuild, { deploy: true, event: "build:export" }),
  route(
    "GET /apps/$app/builds/$id",
    async ({ rack, params: { app = "", id = "" } }) => json(await rack.build(app, id)),
    { deploy: true },
  ),
  route("PUT /apps/$app/builds/$id", update, { deploy: true }),
  route(
    "DELETE /apps/$app/builds/$id",
    async ({ rack, params: { app = "", id = "" } }) => {
      await rack.deleteBuild(app, id);
      return ok();
    },
    { event: "build:delete" },
  ),
  route("POST /apps/$app/builds/$id/image", importImage, { deploy: true }),
  telling("/apps/$app/builds/$id/logs", log),
];

async function create(call: RackCall): Promise<Response> {
  const { served, form, params } = call;
  const { app = "" } = params;
  const request = { ...requestOf(form), byKey: call.visitor.role === "deploy" };
  if (!request.external)
    return json(await served.createBuild(app, request, (build) => void noteBuild(call, build)));
  const { build, secret } = await served.createExternal(app, request);
  const host = call.request.headers.get("host") ?? call.url.host;
  return json({ ...build, repository: `${call.url.protocol}//${build.id}:${secret}@${host}/${app}` });
}

function requestOf(form: Form): BuildRequest {
  const [description, gitSha] = [form.text("description"), form.text("git-sha")];
  return {
    url: form.text("url") ?? "",
    external: form.on("external"),
    manifest: form.text("manifest") || "convox.yml",
    ...(description === undefined ? {} : { description }),
    ...(gitSha === undefined ? {} : { gitSha }),
    development: form.on("development"),
    noCache: form.on("no-cache"),
    wildcardDomain: form.on("wildcard-domain"),
    buildArgs: splitArgs(form.text("build-args") ?? ""),
    ...(form.text("platform") ? { platforms: platformsOf(form.text("platform") ?? "") } : {}),
    attestations: attestationsOf(form),
    secrets: secretsOf(form.text("secrets") ?? "{}"),
  };
}

function attestationsOf(form: Form): Map<string, string> {
  const kinds = ["provenance", "sbom"].map((kind): [string, string | undefined] => [kind, form.text(kind)]);
  return new Map(
    kinds.flatMap(([kind, how]) => (how === undefined ? [] : [[kind, how] satisfies [string, string]])),
  );
}

function platformsOf(text: string): string[] {
  const platforms = text.split(",");
  if (!platforms.every((platform) => /^[a-z0-9]+\/[a-z0-9]+(\/[a-z0-9.]+)?$/.test(platform)))
    throw new DavitError("invalid", "invalid platform");
  return platforms;
}

/** Values in base64, by id. They are kept in memory alone. */
function secretsOf(text: string): Map<string, Bytes> {
  try {
    const fields = checkJson(Type.Record(Type.String(), Type.String()), text, "the build's secrets");
    return new Map(
      Object.entries(fields).map(([id, value]) => [id, new Uint8Array(Buffer.from(value, "base64"))]),
    );
  } catch {
    // What is wrong with it would be told with a piece of it.
    throw new DavitError("invalid", "invalid secrets");
  }
}

const MANAGED = /^BUILD_(APP|AUTH|DEVELOPMENT|GENERATION|GIT_SHA|ID|MANIFEST|RACK)(,|$)/;

/** Build args come joined with commas, and a value may hold some: only what looks like the next arg begins one. */
export function splitArgs(text: string): string[] {
  const args: string[] = [];
  for (let rest = text; rest !== ""; ) {
    let end = rest.length;
    for (let comma = rest.indexOf(","); comma >= 0; comma = rest.indexOf(",", comma + 1)) {
      const next = rest.slice(comma + 1);
      if (!/^[A-Za-z_]\w*=/.test(next) && !MANAGED.test(next)) continue;
      end = comma;
      break;
    }
    args.push(rest.slice(0, end));
    rest = rest.slice(end + 1);
  }
  return args;
}

/** The audit log's line for a build that has ended. */
async function noteBuild({ rack, visitor }: RackCall, build: Build): Promise<void> {
  const failed = build.status === "failed";
  const data = { app: build.app, id: build.id, ...(build.release ? { release_id: build.release } : {}) };
  const event = { actor: visitor.name, action: "build:create", data, error: failed ? build.reason : "" };
  await rack.noteDone({ ...event, status: failed ? "error" : "success" });
}

async function update({ served, form, params: { app = "", id = "" } }: RackCall): Promise<Response> {
  const status = form.text("status");
  if (status !== undefined && !["created", "running", "complete", "failed"].includes(status))
    throw new DavitError("invalid", `unknown build status: ${status.slice(0, 50)}`);
  const [manifest, entrypoint, release] = [
    form.text("manifest"),
    form.text("entrypoint"),
    form.text("release"),
  ];
  const started = form.time("started");
  const steps = form.text("steps");
  const build = await served.updateBuild(app, id, {
    ...(manifest === undefined ? {} : { manifest }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(started === undefined ? {} : { started }),
    ...(release ? { release } : {}),
    ...(status === undefined ? {} : { status }),
    // davit's own.
    ...(steps === undefined ? {} : { steps: checkJson(Type.Array(BuildStep), steps, "the build's steps") }),
  });
  return json(build);
}

async function importBuild({ rack, request, params: { app = "" } }: RackCall): Promise<Response> {
  const [build] = await rack.importBuilds(app, bodyOf(request), { signal: request.signal });
  return json(build);
}

/** The largest list of staged builds that is read, in bytes. */
const MAX_COMMIT = 4 * 1024 * 1024;

const Commit = Type.Object({
  builds: Type.Array(
    Type.Object({ index: WireDescriptor, images: Type.Record(Type.String(), WireDescriptor) }),
  ),
  expect: Type.Optional(Type.Array(Type.String())),
  idempotencyKey: Type.Optional(Type.String()),
});

/** davit's own: builds whose content went through `/v2` before. */
async function commit({ rack, request, visitor, params: { app = "" } }: RackCall): Promise<Response> {
  const bytes = await wholeBody(request, visitor.name, MAX_COMMIT, "the request");
  const { builds: staged, ...options } = checkJson(Commit, decode(bytes), "the request");
  const wanted = staged.map(({ index, images }) => ({
    index: parseDescriptor(index),
    images: new Map(Object.entries(images).map(([name, image]) => [name, parseDescriptor(image)])),
  }));
  return json(await rack.commitStaged(app, wanted, options));
}

/** What a Convox rack exports: a gzip of a tar. An error after the first byte breaks the connection. */
async function exportBuild({ rack, params: { app = "", id = "" } }: RackCall): Promise<Response> {
  const bundle = await rack.exportBuilds(app, [id], { format: "convox" });
  return new Response(toReadable(bundle.stream), { headers: { "content-type": "application/x-gzip" } });
}

async function importImage({
  rack,
  served,
  form,
  visitor,
  params: { app = "", id = "" },
}: RackCall): Promise<Response> {
  await rack.app(app);
  const [username, password] = [form.text("src-creds-user") ?? "", form.text("src-creds-pass") ?? ""];
  const credentials = username === "" && password === "" ? undefined : { username, password };
  await served.importImage(app, id, {
    ...{ image: form.text("image") ?? "", credentials, byKey: visitor.role === "deploy" },
  });
  return new Response(null, { status: 202 });
}

async function* log({ rack, params: { app = "", id = "" } }: RackCall): AsyncGenerator<Bytes> {
  yield* await rack.buildLog(app, id);
}
