import {
  answer,
  digest,
  type Exchange,
  errorBody,
  type Fault,
  readAll,
  readBody,
  reset,
  serve,
  takeManifest,
} from "./fault-registry.ts";

const isBody = ({ kind, method }: Exchange) => kind === "upload" && (method === "PATCH" || method === "PUT");
const isBlobGet = ({ kind, method }: Exchange) => kind === "blob" && method === "GET";

/** The first `times` requests that fit get this status. */
function failing(
  fits: (exchange: Exchange) => boolean,
  times: number,
  status: number,
  headers: Record<string, string> = {},
): Fault {
  return async (exchange) => {
    if (!fits(exchange) || !once(exchange, "failing", times)) return false;
    answer(exchange, status, headers, errorBody("UNAVAILABLE", "", `scripted ${status}`));
    return true;
  };
}

/** Whether something has happened fewer than `times` times; counts it. */
function once({ state }: Exchange, what: string, times = 1): boolean {
  const count = (state.notes.get(what) ?? 0) + 1;
  state.notes.set(what, count);
  return count <= times;
}

const isStart = ({ kind }: Exchange) => kind === "start";
const isManifestPut = ({ kind, method }: Exchange) => kind === "manifest" && method === "PUT";
const WRONG = `sha256:${"ab".repeat(32)}`;
const MiB = 1024 * 1024;

/** Reads `bytes` of a body into the upload and then does what it is told. */
async function cutBody(exchange: Exchange, bytes: number, then: (exchange: Exchange) => void): Promise<void> {
  const { state, name } = exchange;
  let left = bytes;
  await readBody(exchange, (chunk) => {
    const part = chunk.subarray(0, left);
    state.uploads.set(name, Buffer.concat([state.uploads.get(name) ?? Buffer.alloc(0), part]));
    left -= part.byteLength;
    return left > 0;
  });
  then(exchange);
}

function location(rewrite: (exchange: Exchange, path: string) => string | undefined): Fault {
  return (exchange) => {
    if (!isStart(exchange)) return false;
    const id = crypto.randomUUID();
    exchange.state.uploads.set(id, Buffer.alloc(0));
    const to = rewrite(exchange, `/v2/${exchange.repository}/blobs/uploads/${id}`);
    answer(exchange, 202, { range: "0-0", ...(to === undefined ? {} : { location: to }) });
    return true;
  };
}

/** Sends the first `bytes` of a blob and then does what it is told. */
function cutPull(
  times: number,
  bytes: number,
  then: (exchange: Exchange) => void,
  ignoreRange = false,
): Fault {
  return async (exchange) => {
    if (!isBlobGet(exchange)) return false;
    const blob = exchange.state.blobs.get(exchange.name);
    if (!blob || blob.byteLength <= bytes) return false;
    if (!once(exchange, "cut", times)) {
      if (!ignoreRange) return false;
      delete exchange.request.headers.range;
      await serve(exchange);
      return true;
    }
    exchange.response.writeHead(200, { "content-length": blob.byteLength });
    exchange.response.write(blob.subarray(0, bytes), () => setTimeout(() => then(exchange), 50));
    return true;
  };
}

function changedBlob(
  times: number,
  change: (blob: Buffer) => { body: Buffer; length?: number; headers?: Record<string, string> },
): Fault {
  return (exchange) => {
    const blob = isBlobGet(exchange) ? exchange.state.blobs.get(exchange.name) : undefined;
    if (!blob || blob.byteLength < 1024 || !once(exchange, "changed", times)) return false;
    const { body, headers } = change(blob);
    exchange.response.writeHead(200, { "content-length": body.byteLength, ...headers });
    exchange.response.end(body);
    return true;
  };
}

function flipped(blob: Buffer): { body: Buffer } {
  const body = Buffer.from(blob);
  body[body.byteLength >> 1] = (body[body.byteLength >> 1] ?? 0) ^ 1;
  return { body };
}

function needsToken(exchange: Exchange, uses: number): boolean {
  const { state } = exchange;
  const token = exchange.request.headers.authorization ?? "";
  const used = (state.notes.get(token) ?? 0) + 1;
  if (token.startsWith("Bearer t-")) state.notes.set(token, used);
  if (token.startsWith("Bearer t-") && used <= uses) return false;
  const realm = `Bearer realm="http://${exchange.registry.host}/token",service="fault"`;
  answer(exchange, 401, { "www-authenticate": realm }, errorBody("UNAUTHORIZED", ""));
  return true;
}

/** Bodies above a limit are refused with this status. */
function bodyLimit(limit: number, status: number): Fault {
  return async (exchange) => {
    if (!isBody(exchange)) return false;
    const length = Number(exchange.request.headers["content-length"] ?? Number.POSITIVE_INFINITY);
    if (length <= limit) return false;
    answer(exchange, status, {}, errorBody("SIZE_INVALID", { limit }));
    exchange.response.on("finish", () => exchange.request.socket.destroy());
    return true;
  };
}

/** What registries were seen to do: the first part of a repository's name picks one. */
export const faults: Record<string, Fault> = {
  "p1-503": failing(isStart, 2, 503),
  "p2-429": failing(isStart, 1, 429, { "retry-after": "2" }),
  "p2-date": (exchange) =>
    failing(isStart, 1, 429, { "retry-after": new Date(Date.now() + 2500).toUTCString() })(exchange),
  "p2-day": failing(isStart, 1e9, 429, { "retry-after": "86400" }),
  "p3-408": failing(isStart, 2, 408),
  "p4-500": failing(isStart, 1e9, 500),
  "p5-rst": async (exchange) => {
    const big = Number(exchange.request.headers["content-length"] ?? 1e9) > 200_000;
    if (!isBody(exchange) || !big || !once(exchange, "rst")) return false;
    await cutBody(exchange, 100_000, reset);
    return true;
  },
  "p6-502": async (exchange) => {
    if (!isBody(exchange) || !once(exchange, "502")) return false;
    await readAll(exchange);
    answer(exchange, 502, {}, errorBody("UNAVAILABLE", "", "scripted 502"));
    return true;
  },
  "p7-stall": async (exchange) => {
    const big = Number(exchange.request.headers["content-length"] ?? 1e9) > 200_000;
    if (!isBody(exchange) || !big || !once(exchange, "stall")) return false;
    exchange.request.pause();
    return true;
  },
  "p7-forever": (exchange) => {
    if (!isBody(exchange)) return false;
    exchange.request.pause();
    return true;
  },
  "p8-relative": location((_, path) => path),
  "p8-absolute": location(({ registry }, path) => `http://${registry.host}${path}`),
  "p8-query": location((_, path) => `${path}?_state=a%2Fb%3D&x=1`),
  "p9-other-host": location((_, path) => `http://other-host.invalid${path}`),
  "p9-other-port": location((_, path) => `http://127.0.0.1:1${path}`),
  "p10-none": location(() => undefined),
  "p11-half": async (exchange) => {
    const length = Number(exchange.request.headers["content-length"] ?? 0);
    if (
      exchange.kind !== "upload" ||
      exchange.method !== "PATCH" ||
      length < 200_000 ||
      !once(exchange, "half")
    )
      return false;
    const bytes = await readAll(exchange);
    const kept = bytes.subarray(0, bytes.byteLength >> 1);
    exchange.state.uploads.set(exchange.name, kept);
    answer(exchange, 202, { location: exchange.url.pathname, range: `0-${kept.byteLength - 1}` });
    return true;
  },
  "p12-digest": async (exchange) => {
    if (exchange.kind !== "upload" || exchange.method !== "PUT") return false;
    await readAll(exchange);
    answer(exchange, 201, { location: exchange.url.pathname, "docker-content-digest": WRONG });
    return true;
  },
  "p13-digest": async (exchange) => {
    if (!isManifestPut(exchange)) return false;
    await takeManifest(exchange, WRONG);
    return true;
  },
  "p14-503": failing(isManifestPut, 2, 503),
  "p14-rst": async (exchange) => {
    if (!isManifestPut(exchange) || !once(exchange, "rst")) return false;
    reset(exchange);
    return true;
  },
  "p15-403": failing(isManifestPut, 1e9, 403),
  "p16-token": (exchange) => needsToken(exchange, 1),
  "p16-token3": (exchange) => needsToken(exchange, 3),
  token: (exchange) => {
    const token = `t-${crypto.randomUUID()}`;
    answer(exchange, 200, {}, JSON.stringify({ token, expires_in: 300 }));
    return true;
  },
  "p17-vanish": async (exchange) => {
    const { state, kind, method, name } = exchange;
    const lied = [...state.notes.keys()].find((key) => key.startsWith("sha256:"));
    if (
      kind === "blob" &&
      method === "HEAD" &&
      !state.blobs.has(name) &&
      (!lied || lied === name) &&
      !state.notes.has("told")
    ) {
      state.notes.set(name, 1);
      exchange.response.writeHead(200, { "docker-content-digest": name });
      exchange.response.end();
      return true;
    }
    if (isManifestPut(exchange)) state.notes.set("told", 1);
    return false;
  },
  "l1-503": failing(isBlobGet, 2, 503),
  "l2-429": failing(isBlobGet, 1, 429, { "retry-after": "2" }),
  "l3-rst": cutPull(1, MiB, reset),
  "l4-close": cutPull(1, MiB, ({ request }) => request.socket.end()),
  "l5-rst": cutPull(1e9, 0, reset),
  "l6-flip": changedBlob(1e9, flipped),
  "l7-flip": changedBlob(1, flipped),
  "l8-short": changedBlob(1e9, (blob) => ({ body: blob.subarray(1) })),
  "l8-long": changedBlob(1e9, (blob) => ({ body: Buffer.concat([blob, Buffer.from("x")]) })),
  "l9-stall": cutPull(1, MiB, () => undefined),
  "l10-redirect": (exchange) => {
    if (!isBlobGet(exchange) || exchange.url.searchParams.has("away")) return false;
    const to = `http://localhost:${exchange.registry.port}${exchange.url.pathname}?away=1`;
    answer(exchange, 307, { location: to });
    return true;
  },
  "l11-manifest": (exchange) => {
    const found = exchange.state.manifests.get(exchange.name);
    if (exchange.kind !== "manifest" || exchange.method !== "GET" || !found) return false;
    answer(
      exchange,
      200,
      { "content-type": found.type, "docker-content-digest": WRONG },
      found.bytes.toString(),
    );
    return true;
  },
  "l12-endless": (exchange) => {
    if (exchange.kind !== "manifest" || exchange.method !== "GET") return false;
    exchange.response.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" });
    const more = () => {
      while (!exchange.response.destroyed && exchange.response.write(" ".repeat(64 * 1024)));
    };
    exchange.response.on("drain", more);
    more();
    return true;
  },
  "l13-encoding": changedBlob(1e9, (body) => ({ body, headers: { "content-encoding": "gzip" } })),
  "l14-range": cutPull(1, MiB, reset, true),
  "q-ghcr": bodyLimit(4 * MiB, 416),
  "q-proxy": bodyLimit(2 * MiB, 413),
  "q-gar": async (exchange) => {
    const start = /^(\d+)-/.exec(exchange.request.headers["content-range"] ?? "")?.[1];
    if (exchange.kind !== "upload" || exchange.method !== "PATCH" || (start ?? "0") === "0") return false;
    await readAll(exchange);
    answer(exchange, 400, {}, errorBody("UNSUPPORTED", "", "chunked uploads are not supported"));
    return true;
  },
  "q-no-patch": async (exchange) => {
    if (exchange.method !== "PATCH") return false;
    answer(exchange, 405, {}, errorBody("UNSUPPORTED", ""));
    exchange.response.on("finish", () => exchange.request.socket.destroy());
    return true;
  },
  "q-patch-only": async (exchange) => {
    const length = Number(exchange.request.headers["content-length"] ?? 1);
    if (exchange.kind !== "upload" || exchange.method !== "PUT" || length === 0) return false;
    await readAll(exchange);
    answer(exchange, 400, {}, errorBody("BLOB_UPLOAD_INVALID", "", "PUT takes no body here"));
    return true;
  },
  "q-ecr": async (exchange) => {
    if (exchange.kind !== "upload" || exchange.method !== "PATCH") return false;
    const bytes = await readAll(exchange);
    const held = exchange.state.uploads.get(exchange.name) ?? Buffer.alloc(0);
    const start = Number(/^(\d+)-/.exec(exchange.request.headers["content-range"] ?? "")?.[1] ?? 0);
    if (start !== held.byteLength)
      answer(
        exchange,
        416,
        {},
        errorBody("RANGE_INVALID", "", `first byte is ${start} instead of ${held.byteLength}`),
      );
    else {
      const whole = Buffer.concat([held, bytes]);
      exchange.state.uploads.set(exchange.name, whole);
      answer(exchange, 201, { location: exchange.url.pathname, range: `0-${whole.byteLength - 1}` });
    }
    return true;
  },
  "q-scheme": location(({ registry }, path) => `https://127.0.0.1:${registry.port}${path}`),
  "q-port": location((_, path) => `http://127.0.0.1${path}`),
  "q-mount202": () => false,
  "q-no-head": (exchange) => {
    if (exchange.method !== "HEAD") return false;
    answer(exchange, 405);
    return true;
  },
  "q-stale-state": async (exchange) => {
    const { kind, method, state, url, name } = exchange;
    const sequence = state.notes.get(name) ?? 0;
    if (kind !== "upload" || method === "GET") return false;
    if (method !== "DELETE" && sequence > 0 && url.searchParams.get("_state") !== String(sequence)) {
      await readAll(exchange);
      answer(exchange, 404, {}, errorBody("BLOB_UPLOAD_UNKNOWN", name));
      return true;
    }
    if (method !== "PATCH") return false;
    const bytes = await readAll(exchange);
    const whole = Buffer.concat([state.uploads.get(name) ?? Buffer.alloc(0), bytes]);
    state.uploads.set(name, whole);
    state.notes.set(name, sequence + 1);
    answer(exchange, 202, {
      location: `${url.pathname}?_state=${sequence + 1}`,
      range: `0-${whole.byteLength - 1}`,
    });
    return true;
  },
};

export { digest };
