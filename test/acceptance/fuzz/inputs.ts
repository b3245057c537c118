import { digestOf } from "../../../src/oci/digest.ts";
import { routes } from "../../../src/server/routes.ts";
import type { NewEntry } from "../../../src/tar/write.ts";
import { archiveOf, type Target } from "../../support/target.ts";
import { mutate, pick, type Random } from "./mutate.ts";

/** Sends one input and gives the answers' statuses. */
type Fuzzer = (next: Random, target: Target) => Promise<(number | string)[]>;

const DOCKERFILE =
  'FROM alpine:3 AS base\nARG A=1\nRUN make \\\n  && make install\nFROM base\nCOPY . /app\nCMD ["x"]\n';
const YML = `environment:
  - A=1
  - B
services:
  web: &web
    build: {path: ., manifest: Dockerfile, args: {A: 1}}
    port: 5000
    health: /check
    scale: {count: 1-3, cpu: 250, memory: 512}
    resources: [db]
    domain: a.example.com
  worker:
    <<: *web
    command: ["a", "b c"]
    image: alpine
resources:
  db: {type: postgres}
timers:
  clean: {command: x, schedule: "0 3 * * *", service: worker}
`;
const IGNORE = "# all\n*.log\n**/node_modules\n!keep/**/*.txt\n/dist\na?[b-d]\n";
const FILES = {
  "convox.yml": "services:\n  web:\n    build: .\n",
  Dockerfile: DOCKERFILE,
  "a/b.log": "x",
  "keep/c.txt": "y",
};

const MARKS = [
  "\n",
  " ",
  "\t",
  "\r\n",
  ":",
  ",",
  '"',
  "'",
  "\\",
  "/",
  "\u0000",
  "\ufeff",
  "é",
  "\ud83d\ude00",
];
const WORDS = {
  yml: [
    ...MARKS,
    "&a ",
    "*a",
    "<<: ",
    "- ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    "!!binary ",
    "!!str ",
    "|\n  ",
    ">-\n  ",
    "%YAML 1.2\n---\n",
    "${A}",
    "services:\n",
    "  web:\n",
    "null",
    "~",
    ".inf",
    "0x1F",
    "#",
    "args: ",
    "*web",
    "[*web, *web]",
    "port: ",
    "scale: 1-9",
    "..",
    "---\n",
  ],
  dockerfile: [
    ...MARKS,
    "FROM ",
    " AS x",
    "ARG ",
    "RUN <<EOF\n",
    "EOF\n",
    "<<-'X'",
    "ONBUILD ",
    "# escape=`\n",
    "`\n",
    "\\\n",
    "#\n",
    "--platform=",
    "--mount=type=secret,id=",
    "$A",
    "${A:-",
    "[",
    "]",
    "COPY --from=",
    "=",
    "HEALTHCHECK NONE\n",
  ],
  ignore: [
    ...MARKS,
    "*",
    "**",
    "**/",
    "?",
    "[a-z]",
    "[^",
    "]",
    "!",
    "#",
    "..",
    "./",
    "|",
    "{2}",
    "{1000}",
    "^",
    "$",
    "(",
    ")",
    "+",
    "\\d",
    "*a*b",
    "**/*/**",
  ],
  json: [
    ...MARKS,
    "{",
    "}",
    "[",
    "]",
    '"a":',
    "null",
    "true",
    "1e999",
    "-0",
    "\\u0000",
    "\\ud800",
    '"digest":"sha256:',
    '"size":',
    '"mediaType":',
    '"annotations":{',
    '"subject":{',
    "9007199254740993",
  ],
  path: [
    "/",
    "..",
    ".",
    "%2F",
    "%00",
    "%",
    "%c3%28",
    "?",
    "#",
    "a",
    "B".repeat(300),
    "sha256:",
    "@",
    ":",
    "\\",
    "~",
    "é",
  ],
};

async function build(target: Target, files: Record<string, string>): Promise<number[]> {
  return await target.build(await archiveOf(files));
}

async function source(next: Random, target: Target): Promise<number[]> {
  const names = [
    "a",
    "../a",
    "a/../../b",
    "/etc/x",
    "a/b/c",
    "./a",
    "a//b",
    "convox.yml",
    "Dockerfile",
    ".dockerignore",
    "é",
    "a".repeat(300),
    "a/".repeat(900),
    "\\",
    "..",
    ".",
    "a/..",
  ];
  const more = Array.from({ length: Math.floor(next() * 12) }, (): NewEntry => {
    const [name, linkname] = [pick(next, names), pick(next, names).repeat(next() < 0.1 ? 50 : 1)];
    const type = pick(next, ["symlink", "link", "directory", "fifo"] as const);
    return { name, type, linkname, mode: Math.floor(next() * 0o10000), mtime: Math.floor(next() * 2e9) };
  });
  const plain = Buffer.from(Bun.gunzipSync(await archiveOf(FILES, more)));
  for (let i = 0; i < Math.floor(next() * 8); i++) damage(next, plain);
  const length = next() < 0.1 ? Math.floor(next() * plain.length) : plain.length;
  const bytes = new Uint8Array(plain.subarray(0, length));
  return await target.build(next() < 0.8 ? Bun.gzipSync(bytes) : bytes);
}

/** Changes a field of a header, mostly with its checksum mended, so that it is believed. */
function damage(next: Random, archive: Buffer): void {
  const block = Math.floor(next() * (archive.length / 512)) * 512;
  const [at, length] = pick(next, [
    [0, 100],
    [100, 8],
    [124, 12],
    [136, 12],
    [156, 1],
    [157, 100],
    [257, 8],
    [345, 155],
  ] as const);
  const text = pick(next, [
    "0",
    "7777777",
    "\xff\xff\xff\xff\xff\xff\xff\xff",
    "\x80\0\0\0\0\0\0\0\0\0\x40",
    "x",
    "g",
    "L",
    "K",
    "S",
    "5",
    "2",
    "1",
    "../",
    "\0",
    "99999999999",
  ]);
  archive.write(
    text.slice(0, length),
    block + at + Math.floor(next() * Math.max(1, length - text.length)),
    "latin1",
  );
  if (next() < 0.2) return;
  archive.fill(" ", block + 148, block + 156);
  let sum = 0;
  for (let i = block; i < block + 512; i++) sum += archive[i] ?? 0;
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, block + 148, "latin1");
}

const BLOB = digestOf(Buffer.from("{}"));
const MANIFEST = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: BLOB, size: 2 },
  layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: BLOB, size: 2 }],
  annotations: { a: "b" },
};
const INDEX = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [MANIFEST.config],
};

async function manifest(next: Random, target: Target): Promise<number[]> {
  const good = pick(next, [MANIFEST, INDEX]);
  const text = mutate(next, JSON.stringify(good), WORDS.json);
  const type =
    next() < 0.8 ? good.mediaType : pick(next, ["", "text/plain", MANIFEST.mediaType, "a;".repeat(2000)]);
  const name = next() < 0.5 ? "latest" : digestOf(Buffer.from(text));
  return [
    await target.ask("POST", `/v2/shop/blobs/uploads/?digest=${BLOB}`, "{}"),
    await target.ask("PUT", `/v2/shop/manifests/${name}`, text, { "content-type": type }),
    await target.ask("GET", `/v2/shop/referrers/${BLOB}`),
  ];
}

/** What could be asked for that would take the rack away from the run; sockets are not requests. */
const LEFT_OUT = /^(DELETE|SOCKET)|\/system|\/logs|\/processes/;
const ROUTES = routes.filter((route) => !LEFT_OUT.test(`${route.method} ${route.pattern.source}`));
const FIELDS = [
  "url",
  "manifest",
  "description",
  "env",
  "build",
  "name",
  "config",
  "external",
  "git-sha",
  "build-args",
  "development",
  "no-cache",
  "limit",
  "service",
  "count",
  "started",
  "ended",
  "status",
  "logs",
  "release",
  "platforms",
  "secrets",
];
const VALUES = [
  "",
  "true",
  "-1",
  "99999999999",
  "20260101.000000.000000000",
  YML,
  "A=1\nB=2",
  "object://shop/tmp/a",
  "tree://shop/0",
  '[{"a":1}]',
  "{}",
  "linux/amd64",
  "BABCDEFGHIJ",
  "web=1",
];
const BODIES = [
  '{"builds":[{"index":{"mediaType":"a","digest":"sha256:0","size":1},"images":{}}]}',
  `${"0".repeat(64)} -\n${"a".repeat(64)} 5\nhello`,
  '{"image":"a","services":["web"]}',
  "{}",
];

async function api(next: Random, target: Target): Promise<number[]> {
  const route = pick(next, ROUTES);
  const value = (name: string): string =>
    name === "app" && next() < 0.9
      ? "shop"
      : encodeURIComponent(mutate(next, pick(next, ["a", "BABCDEFGHIJ", "0"]), WORDS.path).slice(0, 3000));
  let at = 0;
  const path = route.pattern.source
    .slice(1, -1)
    .replaceAll(
      /\(\[\^\/\]\+\)|\(\.\*\)|\\(.)/g,
      (_, plain?: string) => plain ?? value(route.names[at++] ?? ""),
    );
  const fields = Array.from({ length: Math.floor(next() * 5) }, (): [string, string] => {
    const text = pick(next, VALUES);
    return [pick(next, FIELDS), next() < 0.5 ? text : mutate(next, text, [...WORDS.yml, ...WORDS.json])];
  });
  const query = next() < 0.3 ? `?${new URLSearchParams(fields).toString().slice(0, 6000)}` : "";
  const body = route.raw ? mutate(next, pick(next, BODIES), WORDS.json) : new URLSearchParams(fields);
  const headers =
    next() < 0.2
      ? { accept: pick(next, ["application/json", "a,".repeat(1000)]), range: "bytes=0-" }
      : undefined;
  return [
    await target.ask(
      route.method,
      path + query,
      ["GET", "HEAD"].includes(route.method) ? undefined : body,
      headers,
    ),
  ];
}

export const fuzzers: Record<string, Fuzzer> = {
  source,
  manifest,
  api,
  yml: (next, target) => build(target, { ...FILES, "convox.yml": mutate(next, YML, WORDS.yml) }),
  dockerfile: (next, target) =>
    build(target, { ...FILES, Dockerfile: mutate(next, DOCKERFILE, WORDS.dockerfile) }),
  dockerignore: (next, target) =>
    build(target, { ...FILES, ".dockerignore": mutate(next, IGNORE, WORDS.ignore) }),
};
