import { type ByteStream, type Bytes, collect, firstBytes } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import { discard } from "../http/request.ts";
import { Once } from "../once.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, digestAlgorithm, isDigest, parseDigest } from "./digest.ts";
import { children, MAX_MANIFEST, makeManifest, parseManifest, referrerEntry } from "./manifest.ts";
import { isManifestType, mediaTypes } from "./media-types.ts";
import { pushThrough } from "./push-through.ts";
import { type Reference, requireRef } from "./reference.ts";
import type { RegistryClient } from "./registry-client.ts";
import { registryError } from "./registry-error.ts";
import { pathOf, pull, pullUnverified } from "./registry-pull.ts";
import { referrersOf, referrersTag, taggedReferrers, tagsOf } from "./registry-referrers.ts";
import { MANIFEST_TYPES, RegistryRepository, type RepositoryOptions } from "./registry-repository.ts";
import { checkDigest, type Parts, RegistryUpload } from "./registry-upload.ts";
import { CHUNK, RegistryWriter, SMALL } from "./registry-writer.ts";
import type { OpenUpload } from "./relayed-upload.ts";
import { type Content, contentOf, type Referrers, type Store, type Unverified } from "./store.ts";
import { UploadJournal, type UploadNotes } from "./upload-journal.ts";
import { probeUploads } from "./upload-probe.ts";
import { verified } from "./verify.ts";

/** What is larger is worth a note of where its upload stands, in bytes. */
const JOURNALED = 1024 * 1024;
/** What is smaller is sent again without much loss, in bytes. */
const PROBED = 8 * 1024 * 1024;
/** Manifests kept at hand. */
const MAX_KEPT = 64;

/** One repository of a registry: https://github.com/opencontainers/distribution-spec/blob/main/spec.md */
export class RegistryStore implements Store, Referrers, Unverified {
  readonly #repository: RegistryRepository;
  /** Blobs for whose absence the registry refused a manifest, even where it answers that it has them. */
  readonly #missing = new Set<Digest>();
  /** Blobs that the registry has just answered it lacks: the push that follows need not ask again. */
  readonly #absent = new Set<Digest>();
  readonly #kept = new Map<Digest, Bytes>();
  readonly #probing = new Once<void>();

  constructor(reference: Reference, options: RepositoryOptions, client?: Promise<RegistryClient>) {
    this.#repository = new RegistryRepository(reference, options, client);
  }

  get repository(): RegistryRepository {
    return this.#repository;
  }

  /** Another repository of the same host, by the same login. */
  sibling(repository: string): RegistryStore {
    const { reference, options } = this.#repository;
    return new RegistryStore({ ...reference, repository }, options, this.#repository.client());
  }

  async resolve(ref: string): Promise<Descriptor> {
    const { bytes, mediaType, digest, claimed } = await this.#repository.manifest(ref);
    const name = `${this.#repository.name}${isDigest(ref) ? "@" : ":"}${ref}`;
    if (!isManifestType(mediaType))
      throw new DavitError("registry", `Cannot use ${name}: its type is ${JSON.stringify(mediaType)}`);
    const promised = isDigest(ref) ? ref : claimed === null ? digest : parseDigest(claimed);
    if (digestAlgorithm(promised) === digestAlgorithm(digest) && promised !== digest)
      throw new DavitError(
        "mismatch",
        `Cannot use ${name}: ${this.#repository.reference.host} says ${promised}, its bytes are ${digest}`,
      );
    this.#keep(digest, bytes);
    return { mediaType, digest, size: bytes.byteLength };
  }

  async exists(descriptor: Descriptor): Promise<"yes" | "no" | "unknown"> {
    if (this.#missing.has(descriptor.digest)) return "no";
    const status = await this.#head(descriptor);
    if (status === 404) this.#absent.add(descriptor.digest);
    else this.#absent.delete(descriptor.digest);
    return status === 200 ? "yes" : status === 404 ? "no" : "unknown";
  }

  /** A registry that cannot say is asked again at the push itself. */
  async #head(descriptor: Descriptor): Promise<number> {
    const { profile } = await this.#repository.client();
    if (profile.seen.head === false) return 405;
    const headers = { accept: MANIFEST_TYPES };
    const what = `Cannot look for ${descriptor.digest}`;
    try {
      const response = await this.#repository.send({
        method: "HEAD",
        path: pathOf(descriptor),
        headers,
        what,
      });
      if (response.status === 405) await profile.learn({ head: false });
      const length = response.headers.get("content-length");
      if (response.status === 200 && length !== null && Number(length) !== descriptor.size) return 0;
      return response.status;
    } catch (error) {
      // A registry that answers with errors may still take the blob; one that does not answer will not.
      if (hasCode(error, "unavailable") && error.cause === undefined) return 0;
      throw error;
    }
  }

  async fetch(descriptor: Descriptor, from = 0): Promise<ByteStream> {
    const kept = this.#kept.get(descriptor.digest);
    if (kept) return await contentOf(kept).open(from);
    return await pull(this.#repository, descriptor, from);
  }

  fetchUnverified(descriptor: Descriptor): Promise<ByteStream> {
    return pullUnverified(this.#repository, descriptor);
  }

  async push(descriptor: Descriptor, content: Content): Promise<void> {
    const { digest, mediaType } = descriptor;
    const isAbsent = this.#absent.delete(digest);
    if (isManifestType(mediaType)) await this.#pushManifest(descriptor, content);
    else if (!isAbsent && (await this.exists(descriptor)) === "yes") return;
    else if (content.replayable) await this.#pushBlob(descriptor, content);
    else await pushThrough(await this.writer(descriptor), descriptor, content);
    this.#absent.delete(digest);
    this.#missing.delete(digest);
  }

  /** Before the first large blob: what a link that breaks would cost at this registry. */
  async #probe(size: number): Promise<void> {
    const client = await this.#repository.client();
    const { resumes, chunkSafe, upload } = client.profile.seen;
    if (size <= PROBED || (resumes ?? chunkSafe ?? upload) !== undefined) return;
    const { reference, scope } = this.#repository;
    await this.#probing.get(() => probeUploads(client, reference.repository, scope));
  }

  async #pushBlob(descriptor: Descriptor, content: Content): Promise<void> {
    const upload = await this.#upload(descriptor);
    try {
      const mountFrom = this.#repository.options.mountFrom;
      if ((await upload.begin(descriptor.digest, mountFrom)) === "open")
        await this.#send(upload, descriptor, content);
    } catch (error) {
      await upload.cancel(hasCode(error, "unavailable"));
      throw error;
    }
  }

  async #send(upload: RegistryUpload, descriptor: Descriptor, content: Content): Promise<void> {
    const { profile } = await this.#repository.client();
    const { size } = descriptor;
    const parts: Parts = (from, to) => () => this.#part(descriptor, content, from, to);
    const atOnce = size <= SMALL || profile.seen.upload === "put";
    if (!atOnce && (await upload.complete(descriptor, parts)) === "sent") return;
    if (!atOnce) await profile.learn({ upload: "put" });
    await upload.completeAtOnce(descriptor, () => this.#part(descriptor, content, 0, size));
  }

  async #part(descriptor: Descriptor, content: Content, from: number, to: number) {
    // A store verifies what is read whole, and the registry what it is sent: once more here would be once too often.
    const opened = await content.open(from);
    const part = to === descriptor.size ? opened : firstBytes(opened, to - from);
    const { rate } = this.#repository.options;
    return { stream: rate ? rate.limit(part) : part, length: to - from };
  }

  async writer(expected?: Descriptor): Promise<RegistryWriter> {
    const { profile } = await this.#repository.client();
    const { rate, mountFrom } = this.#repository.options;
    return new RegistryWriter(await this.#upload(expected), {
      chunk: await this.#chunk(),
      ...{ expected, rate, mountFrom },
      stream: profile.seen.upload === "stream",
      onlyStreams: () => profile.learn({ upload: "stream" }),
    });
  }

  /** Bytes in one request. */
  async #chunk(): Promise<number> {
    const { chunkMin = 0, chunkMax = CHUNK } = (await this.#repository.client()).profile.seen;
    return Math.max(chunkMin, Math.min(CHUNK, chunkMax));
  }

  async #upload(blob: Descriptor | undefined): Promise<RegistryUpload> {
    await this.#probe(blob?.size ?? Number.POSITIVE_INFINITY);
    const { name, options } = this.#repository;
    const worthNoting = blob !== undefined && blob.size > JOURNALED;
    const journal = new UploadJournal(worthNoting ? options.state : undefined, `${name}@${blob?.digest}`);
    return await this.#noted(journal, blob?.digest ?? "a blob");
  }

  /** An upload whose state somebody else keeps. */
  async uploadNoted(journal: UploadNotes): Promise<OpenUpload> {
    return { upload: await this.#noted(journal, "a blob"), chunk: await this.#chunk() };
  }

  async #noted(journal: UploadNotes, blob: string): Promise<RegistryUpload> {
    const { name, reference, scope } = this.#repository;
    return new RegistryUpload({
      client: await this.#repository.client(),
      repository: reference.repository,
      scope,
      what: `Cannot push ${blob} to ${name}`,
      journal,
    });
  }

  async #pushManifest(descriptor: Descriptor, content: Content): Promise<void> {
    const bytes = await collect(verified(await content.open(0), descriptor), MAX_MANIFEST, descriptor.digest);
    await this.#put(descriptor, bytes, descriptor.digest);
    this.#keep(descriptor.digest, bytes);
  }

  /** Manifests are wanted again soon: to be read after they were resolved, to be tagged after they were pushed. */
  #keep(digest: Digest, bytes: Bytes): void {
    this.#kept.set(digest, bytes);
    const [oldest] = this.#kept.keys();
    if (oldest && this.#kept.size > MAX_KEPT) this.#kept.delete(oldest);
  }

  async #put(descriptor: Descriptor, bytes: Bytes, ref: string): Promise<void> {
    requireRef(ref);
    const { name, reference, scope } = this.#repository;
    const what = `Cannot push manifest ${name}${isDigest(ref) ? "@" : ":"}${ref}`;
    const headers = { "content-type": descriptor.mediaType };
    const path = `/manifests/${ref}${this.#repository.options.staged ? "?staged=true" : ""}`;
    const response = await this.#repository.send({ method: "PUT", path, headers, body: bytes, what });
    if (response.status !== 201 && response.status !== 200) {
      const error = await registryError(what, reference.host, response, scope);
      throw this.#asMissing(error, response.status, bytes, descriptor);
    }
    checkDigest(response, descriptor.digest, reference.host, what);
    await discard(response);
    if (!response.headers.has("oci-subject")) await this.#tagReferrer(descriptor, bytes);
  }

  /** Blobs the registry misses are absent now, whatever it said of them before. */
  #asMissing(error: DavitError, status: number, bytes: Bytes, descriptor: Descriptor): DavitError {
    if ((status !== 400 && status !== 404) || !/BLOB_UNKNOWN|blob unknown/i.test(error.message)) return error;
    const below = children(parseManifest(bytes, descriptor)).map(({ digest }) => digest);
    const named = below.filter((digest) => error.message.includes(digest));
    for (const digest of named.length > 0 ? named : below) this.#missing.add(digest);
    return new DavitError("blob-unknown", error.message, { cause: error });
  }

  async tag(descriptor: Descriptor, ref: string): Promise<void> {
    const kept = this.#kept.get(descriptor.digest);
    const bytes = kept ?? (await collect(await this.fetch(descriptor), MAX_MANIFEST, descriptor.digest));
    await this.#put(descriptor, bytes, ref);
  }

  /** A registry collects by its own clock; davit holds no lease there. */
  lease<T>(work: (store: Store) => Promise<T>): Promise<T> {
    return work(this);
  }

  tags(): AsyncGenerator<string> {
    return tagsOf(this.#repository);
  }

  referrers(subject: Digest): Promise<Descriptor[]> {
    return referrersOf(this.#repository, subject);
  }

  /** Where the registry keeps no list of referrers, the client keeps it in a tag. */
  async #tagReferrer(referrer: Descriptor, bytes: Bytes): Promise<void> {
    const { subject } = parseManifest(bytes, referrer);
    if (!subject) return;
    const known = await taggedReferrers(this.#repository, subject.digest);
    if (known.some(({ digest }) => digest === referrer.digest)) return;
    const entry = referrerEntry(referrer, bytes);
    const list = makeManifest(mediaTypes.ociIndex, { manifests: [...known, entry] });
    await this.#pushManifest(list.descriptor, contentOf(list.bytes));
    await this.tag(list.descriptor, referrersTag(subject.digest));
  }
}
