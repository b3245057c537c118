import { encode } from "../../src/bytes.ts";
import { copy } from "../../src/oci/copy.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import type { ImageManifest } from "../../src/oci/manifest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { RegistryStore } from "../../src/oci/registry-store.ts";
import { readManifest } from "../../src/oci/walk.ts";
import { sampleBuild } from "./bundles.ts";
import { startRack } from "./convox.ts";
import { sandbox } from "./davit.ts";

/** A word in everything of shop's. No answer to evil ever holds it. */
export const MARK = "orchard";

export interface Answer {
  status: number;
  text: string;
  headers: Headers;
}

/** One login's way to the rack. */
export interface Key {
  token: string;
  ask(path: string, init?: RequestInit): Promise<Answer>;
  /** A form, as the rack API wants it. */
  post(path: string, fields: Record<string, string>, method?: string): Promise<Answer>;
  store(app: string): RegistryStore;
}

/** A rack that is served, with two apps and a deploy key for each. */
export interface TwoKeys extends AsyncDisposable {
  box: ReturnType<typeof sandbox>;
  host: string;
  rackUrl: string;
  evil: Key;
  shop: Key;
  operator: Key;
  /** What shop has: a build of one image, its release, a source, an upload under way. */
  has: {
    build: string;
    release: string;
    object: string;
    upload: string;
    index: Descriptor;
    image: Descriptor;
    manifest: ImageManifest;
    bytes: Uint8Array<ArrayBuffer>;
  };
}

export async function startTwoKeys(env: Record<string, string> = {}): Promise<TwoKeys> {
  const box = sandbox();
  for (const app of ["shop", "evil"]) await box.ok(["apps", "create", app]);
  const rack = await startRack(box, "local", undefined, [], env);
  const key = (user: string, token: string): Key => keyOf(rack, user, token);
  const token = async (app: string): Promise<string> =>
    (await box.ok(["rack", "token", "--for-app", app, "--for", `${app}-ci`])).trim();
  const [evil, shop] = [key("jwt", await token("evil")), key("jwt", await token("shop"))];
  const operator = key("convox", decodeURIComponent(new URL(rack.rackUrl).password));
  const has = await fill(shop, operator);
  return {
    ...{ box, evil, shop, operator, has, host: rack.host, rackUrl: rack.rackUrl },
    [Symbol.asyncDispose]: async () => {
      await rack[Symbol.asyncDispose]();
      box[Symbol.dispose]();
    },
  };
}

function keyOf({ url, host }: { url: string; host: string }, user: string, token: string): Key {
  const authorization = `Basic ${Buffer.from(`${user}:${token}`).toString("base64")}`;
  const ask = async (path: string, init: RequestInit = {}): Promise<Answer> => {
    const headers = { authorization, ...Object.fromEntries(new Headers(init.headers)) };
    const response = await fetch(`${url}${path}`, { ...init, headers });
    return { status: response.status, text: await response.text(), headers: response.headers };
  };
  return {
    ...{ token, ask },
    post: (path, fields, method = "POST") => ask(path, { method, body: new URLSearchParams(fields) }),
    store: (app) =>
      new RegistryStore(parseReference(`${host}/${app}`), {
        ...{ env: {}, push: true },
        credentials: { username: user, password: token },
      }),
  };
}

async function fill(shop: Key, operator: Key): Promise<TwoKeys["has"]> {
  const sample = await sampleBuild(["web"], MARK);
  const image = sample.images.get("web");
  if (!image) throw new Error("the sample has one service");
  const store = shop.store("shop");
  for (const root of [image, sample.index]) await copy(sample.store, root, store);
  const committed = await commit(shop, "shop", sample.index, { web: image });
  const build = JSON.parse(committed.text)[0].id;
  const env = { env: `SECRET=${MARK}` };
  const release = JSON.parse((await operator.post("/apps/shop/releases", { build, ...env })).text).id;
  const object = JSON.parse(
    (await shop.ask("/apps/shop/objects/tmp/source.tgz", { method: "POST", body: MARK })).text,
  ).Url;
  const begun = await shop.ask("/v2/shop/blobs/uploads/", { method: "POST" });
  const upload = begun.headers.get("docker-upload-uuid") ?? "";
  await shop.ask(`/v2/shop/blobs/uploads/${upload}`, { method: "PATCH", body: MARK });
  const { manifest, bytes } = await readManifest(sample.store, image);
  if (manifest.kind !== "image") throw new Error("the sample is one image");
  return { build, release, object, upload, index: sample.index, image, manifest, bytes };
}

/** The last step of an import over the network. */
export async function commit(
  key: Key,
  app: string,
  index: Descriptor,
  images: Record<string, Descriptor>,
  more: object = {},
): Promise<Answer> {
  const body = encode(JSON.stringify({ builds: [{ index, images }], ...more }));
  return await key.ask(`/apps/${app}/builds/commit`, { method: "POST", body });
}
