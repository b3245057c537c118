import { expect, test } from "bun:test";
import { archiveOf, startTarget, type Target } from "../support/target.ts";
import { peakMemory, type Seen, watch } from "../support/watch.ts";

/* The worst texts of a megabyte that a deploy key can send: the server answers others meanwhile. */

const MB = 1024 * 1024;
const fill = (piece: string, size = MB): string =>
  piece.repeat(Math.ceil(size / piece.length)).slice(0, size);
const numbered = (line: (i: number) => string, size = MB): string => {
  let text = "";
  for (let i = 0; text.length < size; i++) text += line(i);
  return text;
};

const YML = "services:\n  web:\n    build: .\n";

/** Sources, as the files that differ from a good one. */
const SOURCES: Record<string, Record<string, string>> = {
  ...Object.fromEntries(
    [
      "[",
      "{a: ",
      "- ",
      "]\n",
      "%\n",
      "? ",
      "&a ",
      "*a ",
      "!!x ",
      "#\n",
      "a: b: c\n",
      "\t\n",
      "${A}",
      "'",
      '"',
    ].map((piece) => [`a manifest of ${JSON.stringify(piece)}`, { "convox.yml": fill(piece, 60_000) }]),
  ),
  "a manifest of a megabyte": { "convox.yml": fill("a: 1\n") },
  "a manifest of keys": { "convox.yml": numbered((i) => `k${i}: 1\n`, 60_000) },
  "a manifest of services": {
    "convox.yml": `services:\n${numbered((i) => ` s${i}: {image: a, resources: [b]}\n`, 60_000)}`,
  },
  "a manifest of merges": {
    "convox.yml": `x0: &x0 {image: a}\n${numbered((i) => `x${i + 1}: &x${i + 1}\n  <<: [*x${i}, *x${i}]\n`, 50_000)}services: {web: *x900}\n`,
  },
  ...Object.fromEntries(
    [
      "FROM a\n",
      "ARG a=b\n",
      "RUN <<A\nA\n",
      "RUN <<A ",
      "a \\\n",
      "#\n",
      '"',
      "# escape=`\n",
      "ONBUILD ",
      "${a:-",
    ].map((piece) => [
      `a Dockerfile of ${JSON.stringify(piece)}`,
      { "convox.yml": YML, Dockerfile: `FROM a\n${fill(piece)}` },
    ]),
  ),
  ...Object.fromEntries(
    ["*a", "**/", "*a\n", "**/a/**/b\n", "[a", "!*a*\n", "a|", "a{1000}", "\\", "?"].map((piece) => [
      `ignore rules of ${JSON.stringify(piece)}`,
      {
        "convox.yml": YML,
        Dockerfile: "FROM a\n",
        ".dockerignore": fill(piece, 250_000),
        [`${fill("a/", 300)}b`]: "",
      },
    ]),
  ),
};

const DEEP = fill("a/");
const JSONS = [
  ...[
    `{"a":"${fill("x")}"}`,
    `{"${fill("\\\\")}":1}`,
    `"${fill('\\"')}`,
    fill("["),
    fill('{"a":'),
    fill('""'),
  ],
  ...[`{${numbered((i) => `"k${i}":1,`)}"z":1}`, `{"a"${fill(" ")}:1}`, fill("1"), `[${fill('{"a":1},')}1]`],
];

async function sendAll(target: Target): Promise<void> {
  for (const files of Object.values(SOURCES)) await target.build(await archiveOf(files));
  for (const linkname of [DEEP, `${fill("../")}a`, `${fill("a/", 4000)}..`])
    await target.build(
      await archiveOf({ "convox.yml": YML }, [{ name: "link", type: "symlink", linkname }]).catch(
        () => new Uint8Array(1),
      ),
    );
  await target.build(Bun.gzipSync(new Uint8Array(8 * MB)));
  for (const json of JSONS) {
    for (const type of [
      "application/vnd.oci.image.manifest.v1+json",
      "application/vnd.oci.image.index.v1+json",
    ])
      await target.ask("PUT", "/v2/shop/manifests/latest", json, { "content-type": type });
    await target.ask("POST", "/apps/shop/builds/commit", json);
    await target.ask("POST", "/apps/shop/sources", json);
  }
  for (const text of [
    fill("A=1\n"),
    numbered((i) => `K${i}=1\n`),
    fill("="),
    fill("%41"),
    fill("\n"),
    fill("é"),
  ]) {
    const form = (fields: Record<string, string>) => new URLSearchParams(fields);
    await target.ask("POST", "/apps/shop/releases", form({ env: text }));
    await target.ask("POST", "/apps/shop/releases", form({ env: "", manifest: text }));
    await target.ask("POST", "/apps/shop/builds", form({ url: `object://shop/${text}`, description: text }));
    await target.ask("POST", "/apps/shop/builds", form({ url: text, "build-args": text, config: text }));
  }
  for (const piece of ["a/", "a-", "/blobs/uploads/", "/manifests/a", "%41", "a.", "a__"]) {
    await target.ask("GET", `/v2/${fill(piece, 8000)}/tags/list`);
    await target.ask("GET", `/apps/shop/objects/${fill(piece, 8000)}`);
  }
  for (const piece of [" ", ",", "a,", "bytes=", "=", "(", '"', "Bearer "])
    for (const header of [
      "authorization",
      "range",
      "accept",
      "content-range",
      "content-type",
      "sec-websocket-protocol",
    ])
      await target.ask("GET", "/apps/shop", undefined, { [header]: `a${fill(piece, 7000)}a` });
}

/** The machine may be busy: one more try is given. */
function isCalm({ held, failures }: Seen): boolean {
  return failures === 0 && held < 250;
}

test("whatever a deploy key sends, others are answered within 250 ms", async () => {
  let seen: Seen | undefined;
  for (let tries = 0; tries < 2 && !(seen && isCalm(seen)); tries++) {
    await using target = await startTarget();
    const watcher = watch(target);
    await sendAll(target);
    seen = await watcher.stop();
    const peak = await peakMemory(target.pid);
    process.stdout.write(
      `slowest ${seen.slowest.toFixed(0)} ms, without waiting for a processor ${seen.held.toFixed(0)} ms, idle server ${seen.control.toFixed(0)} ms, peak ${peak.toFixed(0)} MiB\n`,
    );
    expect(peak).toBeLessThan(192);
  }
  expect(seen && isCalm(seen)).toBe(true);
}, 600_000);

test("a server stops within 2 s while it reads the worst", async () => {
  await using target = await startTarget();
  const slow = ["a manifest of services", 'a manifest of "["', 'ignore rules of "**/a/**/b\\n"'].map(
    async (name) => target.build(await archiveOf(SOURCES[name] ?? {})).catch(() => []),
  );
  await Bun.sleep(150);
  const began = performance.now();
  await target.kill("SIGTERM");
  expect(performance.now() - began).toBeLessThan(2000);
  await Promise.all(slow);
}, 60_000);
