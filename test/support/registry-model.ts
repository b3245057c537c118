import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { drain, encode, streamOf } from "../../src/bytes.ts";
import { BlobPool } from "../../src/oci/blob-pool.ts";
import { type Descriptor, describe } from "../../src/oci/descriptor.ts";
import type { Digest } from "../../src/oci/digest.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { contentOf } from "../../src/oci/store.ts";
import { Collector } from "../../src/rack/collector.ts";
import { Ledger } from "../../src/rack/ledger.ts";
import { moveContent } from "../../src/rack/mover.ts";
import { OWN } from "../../src/rack/place-ledger.ts";
import { Places } from "../../src/rack/places.ts";
import { RackStore } from "../../src/rack/rack-store.ts";
import { Registry } from "../../src/rack/registry.ts";
import type { Repository } from "../../src/rack/repository.ts";
import { FolderPlace } from "./folder-place.ts";
import { tempDir } from "./temp.ts";

const HOUR = 60 * 60 * 1000;
const REPOSITORIES = ["one", "two"];
const CONFIG = encode('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}');

interface KnownManifest {
  descriptor: Descriptor;
  needs: Descriptor[];
  subject: Digest | undefined;
}

/**
 * A registry with its collector, and beside it what a visitor was told: which
 * manifests were acknowledged, which blobs exist. `check` compares the two.
 */
export class RegistryModel implements AsyncDisposable {
  readonly #url: string | undefined;
  readonly #dir = tempDir();
  readonly #manifests = new Map<string, Map<Digest, KnownManifest>>(
    REPOSITORIES.map((name) => [name, new Map()]),
  );
  /** Until when a visitor may count on a blob. */
  readonly #promised = new Map<string, number>();
  #registry: Registry | undefined;
  #ledger: Ledger | undefined;
  #collector: Collector | undefined;
  #clock = Date.UTC(2026, 0, 1);
  readonly #outside = new FolderPlace("r.example/team", this.#dir.join("outside"));
  /** The store that new content goes to. */
  #wanted = OWN;
  #leases: { end: () => void; done: Promise<void>; key: string; blob: Descriptor }[] = [];

  /** `url` is that of a database in place of a file. */
  constructor(url?: string) {
    this.#url = url;
  }

  async open(): Promise<this> {
    this.#ledger = await Ledger.open({
      path: this.#dir.join("ledger.db"),
      url: this.#url,
      now: () => new Date(this.#clock),
    });
    this.#collector = new Collector(
      new Places(new BlobPool(this.#dir.join("layout")), {
        wanted: async () => this.#wanted,
        open: async () => this.#outside,
      }),
      this.#ledger,
      this.#dir.join("lock.db"),
    );
    const parts = {
      ledger: this.#ledger,
      collector: this.#collector,
      createsRepositories: true,
      sparse: false,
    };
    this.#registry = new Registry({ ...parts, changed: async () => undefined });
    for (const name of REPOSITORIES) await this.#registry.ledger.createRepository(name);
    return this;
  }

  get registry(): Registry {
    if (!this.#registry) throw new Error("not open");
    return this.#registry;
  }

  async #repository(index: number): Promise<Repository> {
    const found = await this.registry.repository(REPOSITORIES[index % REPOSITORIES.length] ?? "");
    if (!found) throw new Error("no repository");
    return found;
  }

  /** One of a few blobs: the same number has the same bytes, so repositories share them. */
  #blob(number: number): { bytes: Uint8Array<ArrayBuffer>; descriptor: Descriptor } {
    const bytes = encode(`blob ${number}`);
    return { bytes, descriptor: describe(mediaTypes.ociLayerGzip, bytes) };
  }

  #promise(repository: Repository, { digest }: Descriptor): void {
    this.#promised.set(`${repository.name} ${digest}`, this.#clock + 24 * HOUR);
  }

  #isPromised(name: string, digest: Digest): boolean {
    return (this.#promised.get(`${name} ${digest}`) ?? 0) > this.#clock;
  }

  /** Uploads a blob, in two requests. */
  async putBlob(where: number, number: number): Promise<void> {
    const repository = await this.#repository(where);
    const { bytes, descriptor } = this.#blob(number);
    await this.#upload(repository, bytes, descriptor);
  }

  async #upload(
    repository: Repository,
    bytes: Uint8Array<ArrayBuffer>,
    descriptor: Descriptor,
  ): Promise<void> {
    const id = await repository.beginUpload("someone");
    if (id === undefined) throw new Error("too many uploads");
    const half = bytes.byteLength >> 1;
    for (const part of [bytes.slice(0, half), bytes.slice(half)])
      await repository.withUpload(id, "someone", (upload) => repository.append(id, upload, streamOf(part)));
    await repository.withUpload(id, "someone", (upload) =>
      repository.commitUpload(id, upload, descriptor.digest),
    );
    this.#promise(repository, descriptor);
  }

  /** Asks whether a blob is there; a yes is a promise. */
  async head(where: number, number: number): Promise<void> {
    const repository = await this.#repository(where);
    const { descriptor } = this.#blob(number);
    const size = await repository.blob(descriptor.digest, true);
    if (size !== undefined) this.#promise(repository, descriptor);
    else if (this.#isPromised(repository.name, descriptor.digest))
      throw new Error(`${descriptor.digest} was promised and is gone from ${repository.name}`);
  }

  /** What a client pushes: whatever it is told is missing, then the manifest. */
  async putManifest(
    where: number,
    numbers: number[],
    tag: number | undefined,
    about: number | undefined,
  ): Promise<void> {
    const repository = await this.#repository(where);
    const blobs = [
      { bytes: CONFIG, descriptor: describe(mediaTypes.ociConfig, CONFIG) },
      ...numbers.map((number) => this.#blob(number)),
    ];
    for (const { bytes, descriptor } of blobs) {
      if ((await repository.blob(descriptor.digest, true)) === undefined)
        await this.#upload(repository, bytes, descriptor);
      else this.#promise(repository, descriptor);
    }
    const known = [...(this.#manifests.get(repository.name)?.values() ?? [])];
    const subject = about === undefined ? undefined : known[about % Math.max(1, known.length)]?.descriptor;
    const [config, ...layers] = blobs.map(({ descriptor }) => descriptor);
    const made = makeManifest(mediaTypes.ociManifest, { config, layers, ...(subject ? { subject } : {}) });
    await repository.putManifest(made.descriptor, made.bytes, tag === undefined ? [] : [`t${tag}`]);
    this.#manifests.get(repository.name)?.set(made.descriptor.digest, {
      descriptor: made.descriptor,
      needs: blobs.map(({ descriptor }) => descriptor),
      subject: subject?.digest,
    });
  }

  async deleteManifest(where: number, which: number): Promise<void> {
    const repository = await this.#repository(where);
    const known = this.#manifests.get(repository.name);
    const [digest] = [...(known?.keys() ?? [])].slice(which % Math.max(1, known?.size ?? 0));
    if (!digest) return;
    known?.delete(digest);
    if (!(await repository.deleteManifest(digest)))
      throw new Error(`${digest} was acknowledged and could not be deleted`);
    if (await repository.manifest(digest, false))
      throw new Error(`${digest} is still there after its deletion`);
  }

  async deleteBlob(where: number, number: number): Promise<void> {
    const repository = await this.#repository(where);
    const { descriptor } = this.#blob(number);
    const outcome = await repository.deleteBlob(descriptor.digest);
    if (outcome !== "deleted") return;
    this.#promised.delete(`${repository.name} ${descriptor.digest}`);
    const user = [...(this.#manifests.get(repository.name)?.values() ?? [])].find(({ needs }) =>
      needs.some(({ digest }) => digest === descriptor.digest),
    );
    if (user) throw new Error(`${descriptor.digest} was deleted while ${user.descriptor.digest} needs it`);
  }

  async mount(from: number, to: number, number: number): Promise<void> {
    const [source, target] = [await this.#repository(from), await this.#repository(to)];
    const { descriptor } = this.#blob(number);
    const blob = await source.readable(descriptor.digest);
    if (blob && (await target.mount(blob))) this.#promise(target, descriptor);
  }

  /** An import that has begun: what it stores stays until it ends. */
  async beginLease(where: number, number: number): Promise<void> {
    const repository = await this.#repository(where);
    const { bytes, descriptor } = this.#blob(number);
    const collector = this.#collector;
    if (!collector || this.#leases.length > 3) return;
    const ended = Promise.withResolvers<void>();
    const stored = Promise.withResolvers<void>();
    const done = new RackStore(repository.name, collector).lease(async (store) => {
      await store.push(descriptor, contentOf(bytes));
      stored.resolve();
      await ended.promise;
    });
    await stored.promise;
    this.#leases.push({ end: ended.resolve, done, key: repository.name, blob: descriptor });
  }

  async endLease(): Promise<void> {
    const lease = this.#leases.shift();
    lease?.end();
    await lease?.done;
  }

  /** Hours go by. */
  wait(hours: number): void {
    this.#clock += hours * HOUR;
  }

  /** From now on new content goes to the other store. */
  switchStore(): void {
    this.#wanted = this.#wanted === OWN ? this.#outside.name : OWN;
  }

  /** Brings what there is to where new content goes. */
  async move(): Promise<void> {
    const [ledger, collector] = [this.#ledger, this.#collector];
    if (!ledger || !collector) return;
    await moveContent({ ledger, collector, store: (app) => new RackStore(app, collector) });
    await collector.run();
  }

  async collect(): Promise<void> {
    await this.registry.sweep();
  }

  /** Everything that was acknowledged, promised or leased is whole. */
  async check(): Promise<void> {
    for (const [name, manifests] of this.#manifests) {
      const repository = await this.registry.repository(name);
      for (const { descriptor, needs } of manifests.values()) {
        if (!(await repository?.manifest(descriptor.digest, false)))
          throw new Error(`manifest ${descriptor.digest} is gone from ${name}`);
        for (const blob of needs) await this.#expectWhole(repository, blob);
      }
    }
    for (const [key, until] of this.#promised) {
      const [name = "", digest = ""] = key.split(" ");
      const known = [CONFIG, ...Array.from({ length: 8 }, (_, i) => this.#blob(i).bytes)].map((bytes) =>
        describe("", bytes),
      );
      const blob = known.find((descriptor) => descriptor.digest === digest);
      if (until > this.#clock && blob) await this.#expectWhole(await this.registry.repository(name), blob);
    }
    for (const { key, blob } of this.#leases) {
      if (!this.#files(key, blob.digest).some((path) => existsSync(path)))
        throw new Error(`${blob.digest} is leased by ${key} and its file is gone`);
    }
  }

  /** Where an app's copy of a blob may lie. */
  #files(app: string, digest: Digest): string[] {
    const places = [this.registry.parts.collector.places.own, this.#outside.of(app)];
    return places.map(({ pool }) => pool.path(digest));
  }

  async #expectWhole(repository: Repository | undefined, blob: Descriptor): Promise<void> {
    const size = await repository?.blob(blob.digest, false);
    if (!repository || size !== blob.size) throw new Error(`${blob.digest} is gone from ${repository?.name}`);
    const read = await drain(await repository.read(blob, 0)).catch(() => -1);
    if (read !== blob.size) throw new Error(`${blob.digest} has lost its bytes in ${repository.name}`);
  }

  /** When all promises are over, nothing is left but what manifests need. */
  async checkNothingLeft(): Promise<void> {
    while (this.#leases.length > 0) await this.endLease();
    this.wait(48);
    await this.collect();
    await this.check();
    const needed = new Set<string>();
    for (const [name, manifests] of this.#manifests)
      for (const { descriptor, needs } of manifests.values())
        for (const { digest } of [descriptor, ...needs])
          needed.add(
            `${(await this.#ledger?.places.storeOf(name, digest)) || "own"} ${name} ${digest.slice(7)}`,
          );
    const own = await filesIn(this.#dir.join("layout"));
    const isNeeded = (file: string) => REPOSITORIES.some((name) => needed.has(`own ${name} ${file}`));
    const surplus = own.filter((file) => !isNeeded(file));
    for (const name of REPOSITORIES)
      for (const file of await filesIn(this.#dir.join(`outside/${name}`)))
        if (!needed.has(`${this.#outside.name} ${name} ${file}`)) surplus.push(`${name}/${file}`);
    if (surplus.length > 0) throw new Error(`${surplus.join(", ")}: needed by nothing, and still there`);
    const uploads = await readdir(join(this.#dir.path, "layout/uploads")).catch(() => []);
    if (uploads.length > 0) throw new Error(`${uploads.length} uploads are left`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ledger?.close();
    this.#dir[Symbol.dispose]();
  }
}

async function filesIn(root: string): Promise<string[]> {
  return await readdir(`${root}/blobs/sha256`).catch(() => []);
}
