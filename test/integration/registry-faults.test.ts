import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ErrorCode, hasCode } from "../../src/errors.ts";
import { copy } from "../../src/oci/copy.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { RegistryStore } from "../../src/oci/registry-store.ts";
import { oneShot, type ReadStore } from "../../src/oci/store.ts";
import { readManifest } from "../../src/oci/walk.ts";
import { bigImage } from "../support/big-image.ts";
import { FaultRegistry, type LogEntry } from "../support/fault-registry.ts";
import { faults } from "../support/faults.ts";
import { tempDir } from "../support/temp.ts";

const LAYER = 5 * 1024 * 1024;
let registry: FaultRegistry;
let image: MemoryStore;
/** An image whose layer takes several chunks. */
let long: MemoryStore;
let runs = 0;

beforeAll(async () => {
  process.env["DAVIT_IDLE_TIMEOUT"] = "1";
  registry = await new FaultRegistry(faults).listen();
  image = await bigImage([LAYER, 1000]);
  long = await bigImage([14 * 1024 * 1024], 5);
});
afterAll(async () => {
  delete process.env["DAVIT_IDLE_TIMEOUT"];
  await registry[Symbol.asyncDispose]();
});

interface Outcome {
  error: unknown;
  seconds: number;
  repository: string;
  requests: LogEntry[];
  /** Bytes of bodies that the registry read, in images. */
  sent: number;
  warnings: string[];
}

function open(repository: string, state?: string): RegistryStore {
  return new RegistryStore(parseReference(`${registry.host}/${repository}`), {
    env: { DOCKER_CONFIG: "/nonexistent" },
    push: true,
    state,
  });
}

async function attempt(
  fault: string,
  work: (store: RegistryStore, warn: (text: string) => void) => Promise<unknown>,
): Promise<Outcome> {
  const repository = `${fault}/run${++runs}`;
  const start = performance.now();
  const warnings: string[] = [];
  const error = await work(open(repository), (text) => warnings.push(text)).then(
    () => undefined,
    (e: unknown) => e,
  );
  const requests = registry.requests(repository);
  const sent = requests.reduce((sum, { bytes }) => sum + bytes, 0) / (LAYER + 1000);
  return { error, seconds: (performance.now() - start) / 1000, repository, requests, sent, warnings };
}

const push =
  (source: ReadStore = image) =>
  async (store: RegistryStore, warn: (text: string) => void) =>
    copy(source, await image.resolve("image"), store, { as: "v1", on: { warning: warn } });

/** The same as from a pipe, which can be read once. */
async function pushOnce(store: RegistryStore, _?: unknown, source = image): Promise<void> {
  const root = await source.resolve("image");
  const { manifest } = await readManifest(source, root);
  const blobs = manifest.kind === "image" ? [manifest.config, ...manifest.layers] : [];
  for (const blob of blobs) await store.push(blob, oneShot(await source.fetch(blob)));
  await store.push(root, oneShot(await source.fetch(root)));
  await store.tag(root, "v1");
}

async function pull(store: RegistryStore, warn: (text: string) => void): Promise<void> {
  const state = registry.state(store.repository.reference.repository);
  for (const [digest, bytes] of image.blobs) state.blobs.set(digest, Buffer.from(bytes));
  const root = await image.resolve("image");
  const bytes = image.blobs.get(root.digest) ?? new Uint8Array();
  for (const name of ["v1", root.digest])
    state.manifests.set(name, { type: root.mediaType, bytes: Buffer.from(bytes) });
  const target = new MemoryStore();
  await copy(store, await store.resolve("v1"), target, { on: { warning: warn } });
  expect(target.blobs.size).toBe(image.blobs.size);
}

function intact(repository: string): void {
  const state = registry.state(repository);
  for (const digest of image.blobs.keys())
    expect(state.blobs.has(digest) || state.manifests.has(digest)).toBe(true);
}

function expectError({ error }: Outcome, code: ErrorCode, text: RegExp): void {
  expect(String(error)).toMatch(text);
  expect(hasCode(error, code)).toBe(true);
}

describe("a push survives", () => {
  const survived: [fault: string, seconds: number, sent: number][] = [
    ["p1-503", 3, 1.01],
    ["p3-408", 3, 1.01],
    ["p5-rst", 3, 1.05],
    ["p6-502", 3, 2.01],
    ["p7-stall", 4, 1.3],
    ["p8-relative", 2, 1.01],
    ["p8-absolute", 2, 1.01],
    ["p8-query", 2, 1.01],
    ["p9-other-port", 2, 1.01],
    ["p11-half", 2, 1.51],
    ["p14-503", 3, 1.01],
    ["p14-rst", 3, 1.01],
    ["p16-token", 3, 1.01],
    ["p16-token3", 3, 1.01],
    ["p17-vanish", 3, 1.01],
    ["q-ghcr", 3, 1.6],
    ["q-proxy", 3, 1.6],
    ["q-gar", 3, 1.01],
    ["q-no-patch", 3, 1.6],
    ["q-ecr", 3, 1.01],
    ["q-scheme", 3, 1.01],
    ["q-port", 3, 1.01],
    ["q-no-head", 3, 1.01],
    ["q-stale-state", 3, 1.01],
  ];
  test.each(survived)("%s within %d s, sending %d times the image at most", async (fault, seconds, sent) => {
    const outcome = await attempt(fault, push());
    expect(outcome.error).toBeUndefined();
    expect(outcome.seconds).toBeLessThan(seconds);
    expect(outcome.sent).toBeLessThan(sent);
    intact(outcome.repository);
  });

  test.each(survived.filter(([fault]) => !["p17-vanish", "p6-502"].includes(fault)))(
    "%s, read from a pipe",
    async (fault) => {
      const outcome = await attempt(fault, pushOnce);
      expect(outcome.error).toBeUndefined();
      intact(outcome.repository);
    },
  );

  test.each(["p5-rst", "q-gar", "q-ghcr", "q-proxy", "q-stale-state", "q-ecr"])(
    "%s, many chunks read from a pipe",
    async (fault) => {
      const outcome = await attempt(fault, (store) => pushOnce(store, undefined, long));
      expect(outcome.error).toBeUndefined();
      const state = registry.state(outcome.repository);
      for (const digest of long.blobs.keys())
        expect(state.blobs.has(digest) || state.manifests.has(digest)).toBe(true);
    },
  );

  test.each(["p2-429", "p2-date"])("%s by waiting for as long as it is asked to", async (fault) => {
    const outcome = await attempt(fault, push());
    expect(outcome.error).toBeUndefined();
    expect(outcome.seconds).toBeGreaterThan(1.4);
    expect(outcome.seconds).toBeLessThan(6);
  });

  test("p5: after a reset the upload goes on where the registry stands", async () => {
    const { requests } = await attempt("p5-rst", push());
    expect(
      requests.some(({ method, range }) => method === "PATCH" && (range ?? "").startsWith("100000-")),
    ).toBe(true);
  });

  test("p14: the manifest is tried again without its layers", async () => {
    const { requests, sent } = await attempt("p14-503", push());
    expect(requests.filter(({ method, status }) => method === "PUT" && status === 503).length).toBe(2);
    expect(sent).toBeLessThan(1.01);
  });

  test("p17: a blob that vanished is sent again, once, and said", async () => {
    const { error, warnings } = await attempt("p17-vanish", push());
    expect(error).toBeUndefined();
    expect(warnings.join()).toMatch(/MANIFEST_BLOB_UNKNOWN.*sending what is missing again/);
  });
});

describe("a push is refused", () => {
  test("p2: a wait of a day is not waited for, and the time is said", async () => {
    const outcome = await attempt("p2-day", push());
    expectError(outcome, "registry", /429.*86400 s/);
    expect(outcome.seconds).toBeLessThan(2);
  });

  test("p4: a server that only fails is given up, in its own words", async () => {
    const outcome = await attempt("p4-500", push());
    expectError(outcome, "unavailable", /scripted 500/);
    expect(outcome.seconds).toBeLessThan(15);
    expect(outcome.requests.filter(({ method }) => method === "POST").length).toBeLessThanOrEqual(3 * 6);
  }, 20_000);

  test("p7: a server that reads no more is given up after three tries", async () => {
    const outcome = await attempt("p7-forever", push());
    expectError(outcome, "unavailable", /silent for 1 s/);
    expect(outcome.seconds).toBeLessThan(8);
  }, 20_000);

  test.each([
    ["p9-other-host", "denied", /another host/],
    ["p10-none", "registry", /without a Location header/],
    ["p12-digest", "mismatch", /says that it stored sha256:abab/],
    ["p13-digest", "mismatch", /says that it stored sha256:abab/],
    ["p15-403", "denied", /scripted 403/],
  ] as const)("%s: %s", async (fault, code, text) => {
    const outcome = await attempt(fault, push());
    expectError(outcome, code, text);
    expect(outcome.seconds).toBeLessThan(3);
    if (fault === "p15-403") expect(outcome.requests.filter(({ status }) => status === 403).length).toBe(1);
    if (fault === "p15-403" && hasCode(outcome.error, "denied"))
      expect(outcome.error.hint).toMatch(/push to p15-403\/run/);
  });

  test("p9: nothing is ever sent to the other host", async () => {
    const { requests } = await attempt("p9-other-host", push());
    expect(requests.every(({ method }) => method !== "PATCH" && method !== "PUT")).toBe(true);
  });
});

describe("a pull", () => {
  test.each([
    ["l1-503", 3],
    ["l3-rst", 3],
    ["l4-close", 3],
    ["l7-flip", 3],
    ["l9-stall", 4],
    ["l10-redirect", 2],
    ["l13-encoding", 2],
    ["l14-range", 3],
  ])("survives %s within %d s", async (fault, seconds) => {
    const outcome = await attempt(fault, pull);
    expect(outcome.error).toBeUndefined();
    expect(outcome.seconds).toBeLessThan(seconds);
  });

  test("l2: waits for as long as it is asked to", async () => {
    const outcome = await attempt("l2-429", pull);
    expect(outcome.error).toBeUndefined();
    expect(outcome.seconds).toBeGreaterThan(1.9);
  });

  test("l3: asks only for what is missing", async () => {
    const { requests } = await attempt("l3-rst", pull);
    expect(requests.some(({ range }) => range === "bytes=1048576-")).toBe(true);
  });

  test("l7: a bit flipped once costs one more fetch, and is said", async () => {
    const { warnings } = await attempt("l7-flip", pull);
    expect(warnings.join()).toMatch(/fetching it once more/);
  });

  test.each([
    ["l6-flip", "mismatch", /Cannot verify sha256/],
    ["l8-short", "mismatch", /5242879 bytes/],
    ["l8-long", "mismatch", /5242881 bytes/],
    ["l11-manifest", "mismatch", /abab/],
    ["l12-endless", "invalid", /larger than/],
  ] as const)("%s is refused: %s", async (fault, code, text) => {
    const outcome = await attempt(fault, pull);
    expectError(outcome, code, text);
  });

  test("l5: a link that never carries a byte is given up after six tries", async () => {
    const outcome = await attempt("l5-rst", pull);
    expect(hasCode(outcome.error, "unavailable")).toBe(true);
    expect(outcome.requests.filter(({ path }) => path.includes("/blobs/")).length).toBeLessThanOrEqual(3 * 6);
  }, 20_000);
});

describe("what was learned about a host", () => {
  test("is kept, so that the next push sends nothing in vain", async () => {
    using dir = tempDir();
    for (const expected of [1.6, 1.001]) {
      const repository = `q-ghcr/learn${++runs}`;
      const store = open(repository, dir.path);
      await push()(store, () => undefined);
      const sent = registry.requests(repository).reduce((sum, { bytes }) => sum + bytes, 0) / (LAYER + 1000);
      expect(sent).toBeLessThan(expected);
    }
    const refused = registry.log.filter(
      ({ path, status }) => path.includes("q-ghcr/learn") && status === 416,
    );
    expect(refused.length).toBeLessThanOrEqual(2);
  });
});

test("an upload that was left with other bytes is begun anew", async () => {
  using dir = tempDir();
  const repository = `fine/left${++runs}`;
  const state = registry.state(repository);
  state.uploads.set("left", Buffer.from("other bytes"));
  const root = await image.resolve("image");
  const { manifest } = await readManifest(image, root);
  const layer = manifest.kind === "image" ? manifest.layers[0] : undefined;
  const name = new Bun.CryptoHasher("sha256")
    .update(`${registry.host}/${repository}@${layer?.digest}`)
    .digest("hex");
  const location = `http://${registry.host}/v2/${repository}/blobs/uploads/left`;
  const owner = "another-boot.0.1.1";
  await Bun.write(
    dir.join("uploads", `${name}.json`),
    JSON.stringify({ location, owner, until: Date.now() + 60_000 }),
  );
  await push()(open(repository, dir.path), () => undefined);
  expect(registry.requests(repository, "PATCH").some(({ path }) => path.endsWith("/left"))).toBe(true);
  intact(repository);
});
