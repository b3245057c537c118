import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseSourceUrl } from "../../src/build/source-url.ts";
import { streamOf } from "../../src/bytes.ts";
import { isAddress, isLoopback, isPrivateAddress } from "../../src/hosts.ts";
import { readSection } from "../../src/http/aws-credentials.ts";
import { parseChallenges } from "../../src/http/challenge.ts";
import { RateLimit } from "../../src/http/rate-limit.ts";
import { retryAfter } from "../../src/http/retry.ts";
import { findMistake } from "../../src/json-scan.ts";
import { tagOf } from "../../src/oci/names.ts";
import { TAG } from "../../src/oci/reference.ts";
import { nextPage } from "../../src/oci/registry-referrers.ts";
import { endOf } from "../../src/oci/registry-upload.ts";
import { proxyFor } from "../../src/proxy.ts";
import { parseAddress } from "../../src/server/listen.ts";
import { rangeOf } from "../../src/server/registry/blobs.ts";
import { parseSize } from "../../src/volumes.ts";

test("a challenge that was written is read back, whatever stands in its values", () => {
  const token = fc.stringMatching(/^[a-z][a-z-]{0,10}$/);
  const value = fc.string({ maxLength: 30 }).map((text) => text.replaceAll(/[\r\n]/g, ""));
  fc.assert(
    fc.property(token, fc.dictionary(token, value, { maxKeys: 4 }), (scheme, params) => {
      const quoted = Object.entries(params).map(
        ([key, text]) => `${key}="${text.replaceAll(/["\\]/g, "\\$&")}"`,
      );
      const [challenge] = parseChallenges(`${scheme} ${quoted.join(",")}`);
      expect(challenge?.scheme).toBe(scheme);
      expect({ ...challenge?.params }).toEqual(params);
    }),
  );
});

test("any header at all is read without an error, and soon", () => {
  fc.assert(fc.property(fc.string({ maxLength: 2000 }), (text) => Array.isArray(parseChallenges(text))));
  const start = performance.now();
  parseChallenges(`Bearer ${"a=,".repeat(10_000)}`);
  parseChallenges('Bearer realm="'.padEnd(100_000, "\\"));
  expect(performance.now() - start).toBeLessThan(500);
});

test("several challenges in one header are told apart", () => {
  const [basic, bearer] = parseChallenges('Basic realm="a, b", Bearer realm="https://t/x",service=s');
  expect([basic?.params["realm"], bearer?.params]).toEqual([
    "a, b",
    expect.objectContaining({ realm: "https://t/x", service: "s" }),
  ]);
});

test("a byte range lies within the blob, whatever is asked", () => {
  fc.assert(
    fc.property(
      fc.nat(1000),
      fc.oneof(
        fc.string(),
        fc.tuple(fc.nat(2000), fc.nat(2000)).map(([a, b]) => `bytes=${a}-${b}`),
      ),
      (size, header) => {
        const range = rangeOf(header, size);
        if (range === undefined || range === "outside") return;
        expect(range[0] >= 0 && range[0] <= range[1] && range[1] < size).toBe(true);
      },
    ),
  );
  expect([
    rangeOf("bytes=0-4", 10),
    rangeOf("bytes=-3", 10),
    rangeOf("bytes=5-", 10),
    rangeOf("bytes=10-", 10),
    rangeOf("bytes=5-2", 10),
    rangeOf(null, 10),
  ]).toEqual([[0, 4], [7, 9], [5, 9], "outside", "outside", undefined]);
});

test.each([
  ["0-0", 0],
  ["0-99", 100],
  ["bytes=0-9", 10],
  ["5-9", undefined],
  ["0-", undefined],
  ["x", undefined],
])("an upload's range %p ends at %p", (range, end) => {
  expect(endOf(new Response(null, { headers: { range } }))).toBe(end as number);
});

test.each([
  ["https://reg.corp/v2/", { https_proxy: "http://proxy:1" }, "http://proxy:1"],
  ["https://reg.corp/v2/", { HTTPS_PROXY: "proxy:1" }, "http://proxy:1"],
  ["https://reg.corp/v2/", { https_proxy: "http://proxy:1", no_proxy: "corp" }, false],
  ["https://reg.corp/v2/", { https_proxy: "http://proxy:1", NO_PROXY: ".corp" }, false],
  ["https://regcorp/v2/", { https_proxy: "http://proxy:1", no_proxy: "corp" }, "http://proxy:1"],
  ["https://reg.corp:5000/", { https_proxy: "http://proxy:1", no_proxy: "reg.corp:443" }, "http://proxy:1"],
  ["https://10.1.2.3/", { https_proxy: "http://proxy:1", no_proxy: "10.0.0.0/8" }, false],
  ["https://11.1.2.3/", { https_proxy: "http://proxy:1", no_proxy: "10.0.0.0/8" }, "http://proxy:1"],
  ["https://reg.corp/", { https_proxy: "http://proxy:1", no_proxy: "*" }, false],
  ["http://127.0.0.1:5000/", { http_proxy: "http://proxy:1" }, false],
  ["http://[::1]:5000/", { http_proxy: "http://proxy:1" }, false],
  ["https://LOCALHOST./", { https_proxy: "http://proxy:1" }, false],
  ["https://localhost.corp/", { https_proxy: "http://proxy:1" }, "http://proxy:1"],
  ["https://corp/", { https_proxy: "http://proxy:1", no_proxy: ".corp" }, "http://proxy:1"],
  ["https://a.corp./", { https_proxy: "http://proxy:1", no_proxy: "*.corp" }, false],
  ["https://a.corp/", { https_proxy: "http://proxy:1", no_proxy: "x.org, CORP:443 y.org" }, false],
  ["https://[fd00::1]/", { https_proxy: "http://proxy:1", no_proxy: "fd00::1" }, false],
  ["https://[fd00::1]/", { https_proxy: "http://proxy:1", no_proxy: "[fd00::1]:443" }, false],
  ["https://[fd00::1]/", { https_proxy: "http://proxy:1", no_proxy: "fd00::/8" }, false],
  [
    "https://10.1.2.3/",
    { https_proxy: "http://proxy:1", no_proxy: "2.3,10.0.0.0/99,/,:,." },
    "http://proxy:1",
  ],
  ["wss://reg.corp/", { https_proxy: "http://proxy:1" }, "http://proxy:1"],
])("the proxy for %s with %p is %p", (url, env, proxy) => {
  expect(proxyFor(new URL(url), env as Record<string, string>)).toBe(proxy as string | false);
});

test("addresses outside the public Internet are known as such", () => {
  for (const address of [
    "127.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "::1",
    "fe80::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "0.0.0.0",
  ])
    expect(isPrivateAddress(address)).toBe(true);
  for (const address of ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "100.128.0.1"])
    expect(isPrivateAddress(address)).toBe(false);
  for (const address of [
    ...["::ffff:7f00:1", "0x7f.1", "2130706433", "::", "64:ff9b::a00:1"],
    ...["64:ff9b:1::7f00:1", "2002:a00:1::1", "fec0::1", "2001:0:1:2::3", "::10.0.0.1"],
  ])
    expect(isPrivateAddress(address)).toBe(true);
  for (const name of ["256.1.1.1", "127.0.0.1.nip.io", "10", ""])
    expect(isAddress(name) && isPrivateAddress(name)).toBe(name === "10");
});

test.each([
  ...["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.9.9.9", "[::1]", "::1", "0:0:0:0:0:0:0:1"],
  ...["::ffff:127.0.0.1", "0x7f.1", "2130706433", "127.1", "0177.0.0.1"],
])("%p is this machine", (host) => {
  expect(isLoopback(host)).toBe(true);
});

test.each([
  ...[
    "localhost.evil.com",
    "127.0.0.1.nip.io",
    "evil.localhost",
    "localhost:x@evil.com",
    "localhost:5000",
    "",
  ],
  ...[
    "localhost/x",
    "localhost#",
    "localhost?x",
    "x@localhost",
    "0.0.0.0",
    "[::]",
    "128.0.0.1",
    "[localhost]",
  ],
])("%p is not this machine's name", (host) => {
  expect(isLoopback(host)).toBe(false);
});

test.each([
  "http://localhost:x@evil.com/a.git",
  "http://127.0.0.1:80@evil.com/a.git",
  "http://localhost.evil.com/a.git",
  "http://127.0.0.1.nip.io/a.git",
  "http:///localhost@evil.com/a.git",
  "HTTP://evil.com/a.git",
])("a source at %s would be fetched in the open, and is refused", (address) => {
  expect(() => parseSourceUrl(address)).toThrow("only https:// and ssh:// are fetched");
});

test.each([
  "http://localhost/a.git",
  "http://me:pw@127.0.0.1:8080/a.git",
  "http://[::1]/a.git",
  "http://localhost\\@evil.com/a.git",
])("a source at %s stays on this machine", (address) => {
  expect(isLoopback(new URL(parseSourceUrl(address)?.url ?? "").hostname)).toBe(true);
});

test("Retry-After is seconds or a date, and nothing else", () => {
  const after = (value: string) => retryAfter(new Response(null, { headers: { "retry-after": value } }));
  expect(after("2")).toBe(2000);
  expect(after("soon")).toBeUndefined();
  expect(after(new Date(Date.now() + 5000).toUTCString())).toBeGreaterThan(3000);
  expect(after(new Date(0).toUTCString())).toBe(0);
});

test("a rate limit holds over several streams together", async () => {
  const limit = new RateLimit(1_000_000);
  const start = performance.now();
  const drain = async () => {
    for await (const _ of limit.limit(streamOf(new Uint8Array(150_000))));
  };
  await Promise.all([drain(), drain()]);
  expect(performance.now() - start).toBeGreaterThan(200);
});

test("the name of an image in an archive gives a tag, or none", () => {
  expect(
    [
      "web.BABCDEFGHIJ",
      "docker.io/library/x:v1",
      "host:5000/x",
      "host:5000/a/b:1.10",
      "a:b@sha256:0",
      "repo/x",
    ].map(tagOf),
  ).toEqual(["web.BABCDEFGHIJ", "v1", undefined, "1.10", "b", undefined]);
  fc.assert(fc.property(fc.string(), (name) => TAG.test(tagOf(name) ?? "x")));
});

test("the next page is where the registry says, at the host that was asked", () => {
  expect(nextPage('</v2/a/tags/list?last=b&n=2>; rel="next"', "https://r")).toBe(
    "https://r/v2/a/tags/list?last=b&n=2",
  );
  expect(nextPage("<http://inside:5000/v2/a/tags/list?last=b>; rel=next", "https://r")).toBe(
    "https://r/v2/a/tags/list?last=b",
  );
  expect(nextPage(null, "https://r")).toBeUndefined();
});

test("JSON that has a key twice is told from JSON that has not", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => findMistake(JSON.stringify(value)) === undefined));
  for (const text of ['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '[{"x":{"b":1,"b":1}}]'])
    expect(findMistake(text)).toContain("twice");
  expect(findMistake('{"a":"a","b":["a","a"],"c":{"a":1}}')).toBeUndefined();
});

test("sizes and addresses are read as people write them", () => {
  expect(["4G", "700M", "64k", "1024", "1.5k", "4GiB"].map((text) => parseSize(text, "--split"))).toEqual([
    4294967296, 734003200, 65536, 1024, 1536, 4294967296,
  ]);
  for (const text of ["", "-1", "0", "x", "4X"])
    expect(() => parseSize(text, "--split")).toThrow("not a size");
  expect(
    [parseAddress("127.0.0.1:0"), parseAddress(":5000"), parseAddress("5000"), parseAddress("[::1]:80")].map(
      ({ hostname, port }) => [hostname, port],
    ),
  ).toEqual([
    ["127.0.0.1", 0],
    ["127.0.0.1", 5000],
    ["127.0.0.1", 5000],
    ["::1", 80],
  ]);
  for (const text of ["x", "1.2.3.4:99999", "1.2.3.4:", "http://x:1"])
    expect(() => parseAddress(text)).toThrow("Cannot listen");
});

test("a section of an ini file is read, and only that one", () => {
  const text =
    "[default]\naws_access_key_id = A\n\n[profile x]\naws_access_key_id=B\naws_secret_access_key = C = D\n";
  expect(readSection(text, "profile x")).toEqual({ aws_access_key_id: "B", aws_secret_access_key: "C = D" });
});
