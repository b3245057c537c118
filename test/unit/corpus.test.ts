import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type ByteStream, type Bytes, collect, concat, decode, encode, streamOf } from "../../src/bytes.ts";
import { DavitError } from "../../src/errors.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { readTar } from "../../src/tar/read.ts";
import { sampleBundle } from "../support/bundles.ts";
import { importOne } from "../support/import-one.ts";
import { tempRack } from "../support/racks.ts";
import { pax, type RawEntry, rawEntry, rawTar } from "../support/raw-tar.ts";

/**
 * Archives that are damaged, odd or hostile. Each is imported into a fresh rack:
 * it must be refused with a message that says why, in one line, or accepted; and
 * what is refused must leave no build, no release and no blob.
 */
interface Case {
  name: string;
  archive: () => Promise<Bytes> | Bytes | ByteStream;
  /** What the message must say; undefined for archives that are fine. */
  says?: RegExp;
}

const whole = await sampleBundle(["web", "api"]);
const entries: { name: string; body: Bytes }[] = [];
for await (const entry of readTar(streamOf(whole)))
  entries.push({ name: entry.name, body: await collect(entry.body, 1e7, entry.name) });

function find(pattern: RegExp): { name: string; body: Bytes } {
  const found = entries.find((entry) => pattern.test(entry.name) || pattern.test(decode(entry.body)));
  if (!found) throw new Error(`no entry matches ${pattern}`);
  return found;
}

const layer = find(/^sample web: first layer$/);
const config = find(/^\{"architecture":"amd64"/);
const manifest = find(
  /^\{"schemaVersion":2,"mediaType":"application\/vnd.oci.image.manifest[^[]*"config".*first|"layers":/,
);
const index = find(/^index\.json$/);

type Change = (list: RawEntry[]) => RawEntry[];

function changed(change: Change): Bytes {
  return rawTar(change(entries.map(({ name, body }) => ({ name, body }))));
}

const replace =
  (target: { name: string }, edit: (entry: RawEntry) => RawEntry | undefined): Change =>
  (list) =>
    list.flatMap((entry) => (entry.name === target.name ? (edit(entry) ?? []) : [entry]));

const add =
  (...more: RawEntry[]): Change =>
  (list) => [...list, ...more];

const first =
  (...more: RawEntry[]): Change =>
  (list) => [...more, ...list];

function flip(bytes: Bytes): Bytes {
  const copy = bytes.slice();
  copy[copy.byteLength - 1] = (copy.at(-1) ?? 0) ^ 1;
  return copy;
}

/** The bundle with its index's first descriptor changed. */
function withFirst(patch: Record<string, unknown>): Bytes {
  const parsed = JSON.parse(decode(index.body));
  const manifests = [{ ...parsed.manifests[0], ...patch }, ...parsed.manifests.slice(1)];
  return changed(
    replace(index, (entry) => ({ ...entry, body: encode(JSON.stringify({ ...parsed, manifests })) })),
  );
}

/** An image manifest of the bundle's, edited, under the digest its new bytes have, and named by index.json. */
function withManifest(edit: (manifest: Record<string, unknown>) => unknown, mediaType?: string): Bytes {
  const parsed = JSON.parse(decode(manifest.body));
  const body = encode(JSON.stringify(edit(parsed) ?? parsed));
  const descriptor = {
    mediaType: mediaType ?? "application/vnd.oci.image.manifest.v1+json",
    digest: digestOf(body),
    size: body.byteLength,
  };
  const named = JSON.parse(decode(index.body));
  named.manifests.push(descriptor);
  return changed((list) => [
    ...replace(index, (entry) => ({ ...entry, body: encode(JSON.stringify(named)) }))(list),
    { name: `blobs/sha256/${descriptor.digest.slice(7)}`, body },
  ]);
}

/** The bundle with the text of its index.json changed. */
function withText(edit: (text: string) => string): Bytes {
  return changed(replace(index, (entry) => ({ ...entry, body: encode(edit(decode(index.body))) })));
}

async function* endless(start: Bytes, filler: Bytes, times: number): AsyncGenerator<Bytes> {
  yield start;
  for (let i = 0; i < times; i++) yield filler;
}

function deepIndex(depth: number): Bytes {
  const list: RawEntry[] = entries
    .filter((entry) => entry.name !== "index.json")
    .map(({ name, body }) => ({ name, body }));
  let inner = { ...JSON.parse(decode(index.body)).manifests[0] };
  for (let i = 0; i < depth; i++) {
    const body = encode(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: [inner],
      }),
    );
    inner = {
      mediaType: "application/vnd.oci.image.index.v1+json",
      digest: digestOf(body),
      size: body.byteLength,
    };
    list.push({ name: `blobs/sha256/${inner.digest.slice(7)}`, body });
  }
  return rawTar([
    { name: "index.json", body: encode(JSON.stringify({ schemaVersion: 2, manifests: [inner] })) },
    ...list,
  ]);
}

const MiB = 1024 * 1024;
const gz = (bytes: Bytes) => new Uint8Array(gzipSync(bytes));

const cases: Case[] = [
  { name: "1 empty", archive: () => new Uint8Array(0), says: /it is empty/ },
  { name: "2 all zeros", archive: () => new Uint8Array(10240), says: /holds no entries/ },
  { name: "3 cut at half", archive: () => whole.slice(0, whole.byteLength / 2 + 7), says: /it ends inside/ },
  { name: "4 cut inside a header", archive: () => whole.slice(0, 100), says: /it ends inside a header/ },
  { name: "5 no end blocks", archive: () => whole.slice(0, whole.byteLength - 1024) },
  {
    name: "6 garbage after the end",
    archive: () => concat([whole, encode("surprise")]),
    says: /something after its end/,
  },
  { name: "7 two archives joined", archive: () => concat([whole, whole]), says: /something after its end/ },
  {
    name: "8 bad header checksum",
    archive: () => changed(first({ name: "x", checksum: "000001\0 " })),
    says: /wrong checksum/,
  },
  {
    name: "9 negative size",
    archive: () => changed(first({ name: "x", size: new Uint8Array(12).fill(0xff) })),
    says: /negative number/,
  },
  {
    name: "10 base-256 size of 2^63",
    archive: () =>
      changed(first({ name: "x", size: new Uint8Array([0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]) })),
    says: /too large/,
  },
  {
    name: "11 PAX size wins over the header's",
    archive: () =>
      changed((list) => [
        pax({ size: "3" }),
        { name: "note", size: "00000000000\0", body: encode("abc") },
        ...list,
      ]),
  },
  {
    name: "12 PAX header of 1 GiB",
    archive: () => endless(rawEntry({ name: "p", type: "x", size: "10000000000\0" }), new Uint8Array(MiB), 4),
    says: /larger than 1048576/,
  },
  {
    name: "13 a million PAX records",
    archive: () => changed(first({ name: "p", type: "x", body: encode("8 a=bcd\n".repeat(1_000_000)) })),
    says: /larger than 1048576/,
  },
  {
    name: "14 GNU long name of 100 MiB",
    archive: () =>
      endless(rawEntry({ name: "././@LongLink", type: "L", size: "00620000000\0" }), new Uint8Array(MiB), 4),
    says: /larger than 1048576/,
  },
  {
    name: "15 NUL in a PAX path",
    archive: () => changed(first(pax({ path: "a\0b" }), { name: "x" })),
    says: /NUL in it/,
  },
  { name: "16 GNU sparse entry", archive: () => changed(first({ name: "x", type: "S" })), says: /sparse/ },
  {
    name: "17 PAX sparse entry",
    archive: () => changed(first(pax({ "GNU.sparse.major": "1" }), { name: "x" })),
    says: /sparse/,
  },
  {
    name: "18 a million empty entries",
    archive: () =>
      endless(new Uint8Array(0), concat(Array.from({ length: 1000 }, () => rawEntry({ name: "x" }))), 1001),
    says: /more than 1000000 entries/,
  },
  {
    name: "19 name that is not UTF-8",
    archive: () => changed(first({ name: new Uint8Array([0x66, 0xff, 0xfe]) })),
    says: /not UTF-8/,
  },
  {
    name: "20 name with escape codes",
    archive: () => changed(first({ name: "a\n\x1b[31m../b" })),
    says: /"a\\n\\u001b\[31m\.\.\/b"/,
  },
  { name: "21 ../x", archive: () => changed(add({ name: "../x" })), says: /leads out of it/ },
  { name: "22 absolute name", archive: () => changed(add({ name: "/etc/passwd" })), says: /leads out of it/ },
  {
    name: "23 .. inside a name",
    archive: () => changed(add({ name: "blobs/sha256/../../index.json", body: encode("{}") })),
    says: /leads out of it/,
  },
  {
    name: "24 ./ before names",
    archive: () => changed((list) => list.map((entry) => ({ ...entry, name: `./${entry.name}` }))),
  },
  {
    name: "25 symlink as a blob",
    archive: () => changed(replace(layer, (e) => ({ name: e.name, type: "2", link: "/etc/passwd" }))),
    says: /symlink/,
  },
  {
    name: "26 symlink as blobs/",
    archive: () => changed(first({ name: "blobs", type: "2", link: "/tmp" })),
    says: /symlink/,
  },
  {
    name: "27 hard link as a blob",
    archive: () => changed(replace(layer, (e) => ({ name: e.name, type: "1", link: "../../x" }))),
    says: /hardlink/,
  },
  {
    name: "28 chain of symlinks",
    archive: () =>
      changed(first({ name: "a", type: "2", link: "b" }, { name: "b", type: "2", link: "../.." })),
    says: /symlink/,
  },
  { name: "29 device", archive: () => changed(add({ name: "dev", type: "3" })), says: /device/ },
  { name: "29 fifo", archive: () => changed(add({ name: "pipe", type: "6" })), says: /fifo/ },
  {
    name: "30 upper-case hex name",
    archive: () =>
      changed(
        replace(layer, (e) => ({
          ...e,
          name: String(e.name).replace(/[0-9a-f]{64}/, (hex) => hex.toUpperCase()),
        })),
      ),
    says: /not named by a sha256/,
  },
  {
    name: "31 case-folding twin",
    archive: () => changed(add({ name: "INDEX.json", body: encode("{}") })),
    says: /only in case/,
  },
  { name: "32 backslash", archive: () => changed(add({ name: "..\\x" })), says: /leads out of it/ },
  { name: "32 drive name", archive: () => changed(add({ name: "C:x" })), says: /leads out of it/ },
  {
    name: "33 no oci-layout",
    archive: () => changed(replace({ name: "oci-layout" }, () => undefined)),
    says: /no oci-layout/,
  },
  {
    name: "34 layout version 9",
    archive: () =>
      changed(
        replace({ name: "oci-layout" }, (e) => ({ ...e, body: encode('{"imageLayoutVersion":"9.0.0"}') })),
      ),
    says: /version is "9.0.0"/,
  },
  {
    name: "35 no index.json",
    archive: () => changed(replace(index, () => undefined)),
    says: /no index.json/,
  },
  {
    name: "36 index.json twice, different",
    archive: () => changed(add({ name: "index.json", body: encode("{}") })),
    says: /twice/,
  },
  {
    name: "37 index.json after the blobs",
    archive: () =>
      changed((list) => [
        ...list.filter((e) => e.name !== "index.json"),
        ...list.filter((e) => e.name === "index.json"),
      ]),
  },
  {
    name: "38 blob twice, the second bad",
    archive: () => changed(add({ name: layer.name, body: flip(layer.body) })),
    says: /entry "blobs\/sha256\/.*got/,
  },
  {
    name: "39 blob twice, the first bad",
    archive: () => changed(first({ name: layer.name, body: flip(layer.body) })),
    says: /entry "blobs\/sha256\/.*got/,
  },
  {
    name: "40 a blob nothing refers to",
    archive: () => {
      const body = encode("nobody asked for this".repeat(1000));
      return changed(add({ name: `blobs/sha256/${digestOf(body).slice(7)}`, body }));
    },
  },
  {
    name: "41 layer with a flipped bit",
    archive: () => changed(replace(layer, (e) => ({ ...e, body: flip(layer.body) }))),
    says: /entry "blobs\/sha256\/.*got/,
  },
  {
    name: "42 layer too short",
    archive: () => changed(replace(layer, (e) => ({ ...e, body: layer.body.slice(1) }))),
    says: /digest|bytes/,
  },
  {
    name: "43 layer too long",
    archive: () => changed(replace(layer, (e) => ({ ...e, body: concat([layer.body, encode("x")]) }))),
    says: /digest|bytes/,
  },
  {
    name: "44 config with a flipped bit",
    archive: () => changed(replace(config, (e) => ({ ...e, body: flip(config.body) }))),
    says: /digest/,
  },
  {
    name: "45 manifest with a flipped bit",
    archive: () => changed(replace(manifest, (e) => ({ ...e, body: flip(manifest.body) }))),
    says: /digest/,
  },
  {
    name: "46 missing layer",
    archive: () => changed(replace(layer, () => undefined)),
    says: /named in it, and missing/,
  },
  {
    name: "47 missing config",
    archive: () => changed(replace(config, () => undefined)),
    says: /named in it, and missing/,
  },
  {
    name: "48 wrong size in index.json",
    archive: () => withFirst({ size: 7 }),
    says: /where 7 are promised/,
  },
  {
    name: "49 unknown digest algorithm",
    archive: () => withFirst({ digest: `md5:${"0".repeat(32)}` }),
    says: /not sha256 or sha512/,
  },
  {
    name: "50 digest that is a path",
    archive: () => withFirst({ digest: "sha256:../../etc/passwd" }),
    says: /not sha256 or sha512/,
  },
  { name: "51 indexes 100 deep", archive: () => deepIndex(100), says: /nested deeper/ },
  {
    name: "52 image and index at once",
    archive: () => withManifest((m) => ({ ...m, manifests: [] })),
    says: /both an image and an index/,
  },
  {
    name: "53 media type unlike the descriptor's",
    archive: () => withManifest(() => undefined, "application/vnd.docker.distribution.manifest.v2+json"),
    says: /calls itself/,
  },
  {
    name: "54 foreign layer is not fetched",
    archive: () =>
      withManifest((m) => {
        const layers = m["layers"];
        if (Array.isArray(layers))
          layers[0] = {
            mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            digest: `sha256:${"a".repeat(64)}`,
            size: 5,
            urls: ["http://127.0.0.1:1/x"],
          };
      }),
  },
  {
    name: "55 diff_ids unlike layers",
    archive: () => withManifest((m) => ({ ...m, layers: [] })),
    says: /0 layers, its config names 2/,
  },
  {
    name: "56 data field that lies is not believed",
    archive: () => withFirst({ data: "AAAA" }),
  },
  ...[2 ** 53 + 1, -1, 1.5, "12"].map((size) => ({
    name: `57 descriptor size ${size}`,
    archive: () => withFirst({ size }),
    says: /index.json/,
  })),
  { name: "58 gzip cut", archive: () => gz(whole).slice(0, -20), says: /gzip data is damaged/ },
  {
    name: "59 gzip with a wrong CRC",
    archive: () => {
      const bytes = gz(whole);
      bytes[bytes.byteLength - 8] = (bytes.at(-8) ?? 0) ^ 1;
      return bytes;
    },
    says: /gzip data is damaged/,
  },
  { name: "60 gzip in gzip", archive: () => gz(gz(whole)), says: /compressed twice/ },
  {
    name: "61 gzip bomb",
    archive: () => gz(concat([rawEntry({ name: "x", size: "37777777777\0" }), new Uint8Array(200 * MiB)])),
    says: /grows more than 200 times/,
  },
  {
    name: "62 zstd with a window of 2 GiB",
    archive: () => new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00]),
    says: /zstd data is damaged/,
  },
  {
    name: "63 gzip with a file name of 64 MiB",
    archive: () =>
      endless(new Uint8Array([0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3]), new Uint8Array(MiB).fill(65), 64),
    says: /gzip data is damaged/,
  },
  {
    name: "64 gzip of several members",
    archive: () => concat([gz(whole.slice(0, 3000)), gz(whole.slice(3000))]),
  },
  {
    name: "65 JSON nested 100,000 deep",
    archive: () =>
      withText((text) => text.replace("{", `{"x":${"[".repeat(100_000)}${"]".repeat(100_000)},`)),
    says: /nested deeper than 64/,
  },
  {
    name: "66 JSON with a string of 50 MiB",
    archive: () => withText((text) => text.replace("{", `{"x":"${"y".repeat(50 * MiB)}",`)),
    says: /larger than 4194304 bytes/,
  },
  {
    name: "67 a manifest with the same key twice",
    archive: () => withText((text) => text.replace("{", '{"schemaVersion":2,')),
    says: /key "schemaVersion" is in it twice/,
  },
  {
    name: "68 keys like __proto__ and constructor",
    archive: () => withText((text) => text.replace("{", '{"__proto__":{"manifests":[]},"constructor":{},')),
  },
  {
    name: "69 a byte order mark",
    archive: () => withText((text) => `\ufeff${text}`),
    says: /byte order mark/,
  },
  { name: "70 lone surrogates", archive: () => withText((text) => text.replace("{", '{"x":"\\ud800",')) },
  {
    name: "71 JSON that is cut",
    archive: () => withText((text) => text.slice(0, 200)),
    says: /Cannot read index\.json: /,
  },
  { name: "zstd around a bundle", archive: () => new Uint8Array(Bun.zstdCompressSync(whole)) },
];

for (const { name, archive, says } of cases) {
  test(`archive ${name} is ${says ? "refused" : "accepted"}`, async () => {
    await using rack = await tempRack();
    await rack.createApp("shop");
    const made = await archive();
    const result = await importOne(rack, made instanceof Uint8Array ? streamOf(made) : made, {}).catch(
      (error: unknown) => error,
    );
    if (!says) {
      expect(result).not.toBeInstanceOf(Error);
      return;
    }
    if (!(result instanceof DavitError)) throw new Error(`expected a refusal, got ${Bun.inspect(result)}`);
    expect(result.message).toMatch(says);
    expect(result.message).not.toContain("\n");
    expect(["bad-archive", "cut-archive"]).toContain(result.code);
    expect(await rack.builds("shop")).toEqual([]);
    expect(await rack.releases("shop")).toEqual([]);
    const files = await readdir(join(rack.home, "racks/local/layout/blobs/sha256")).catch(() => []);
    // What came before a cut is good, and kept for the next try.
    if (result.code !== "cut-archive") expect(files).toEqual([]);
  });
}
