import { expect, test } from "bun:test";
import fc from "fast-check";
import { concat, encode } from "../../src/bytes.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { openLayoutRegistry } from "../../src/rack/layout-registry.ts";
import type { Registry } from "../../src/rack/registry.ts";
import type { Visitor } from "../../src/server/registry/call.ts";
import { registryApi } from "../../src/server/registry/registry-api.ts";
import { tempDir } from "../support/temp.ts";

const visitor = (name: string): Visitor => ({ name, may: () => true });

type Step =
  | { do: "patch"; bytes: string; shift: number }
  | { do: "stream"; bytes: string }
  | {
      do:
        | "status"
        | "strange repository"
        | "strange visitor"
        | "restart"
        | "finish"
        | "finish wrong"
        | "cancel";
    };

const bytes = fc.string({ minLength: 1, maxLength: 40 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("patch" as const),
      bytes,
      shift: fc.constantFrom(0, 0, 0, 1, -1, 5),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("stream" as const), bytes }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "status" as const,
        "strange repository" as const,
        "strange visitor" as const,
        "restart" as const,
      ),
    }),
  },
  fc.record({ do: fc.constantFrom("finish" as const, "finish wrong" as const, "cancel" as const) }),
);

/** What the specification says of one upload: bytes in order, and an end. */
test("an upload is the bytes that were taken, in their order, through restarts and whatever else is tried", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
      using dir = tempDir();
      let registry: Registry = await openLayoutRegistry(dir.path);
      const send = (method: string, path: string, init: RequestInit = {}, as = "me") =>
        registryApi(new Request(`http://127.0.0.1${path}`, { method, ...init }), registry, visitor(as));
      const start = await send("POST", "/v2/app/blobs/uploads/");
      const location = start.headers.get("location") ?? "";
      let taken: Uint8Array<ArrayBuffer> | undefined = encode("");
      const range = () => `0-${Math.max(0, (taken?.byteLength ?? 0) - 1)}`;
      for (const one of steps) {
        if (one.do === "patch") {
          const body = encode(one.bytes);
          const from = Math.max(0, (taken?.byteLength ?? 0) + one.shift);
          const fits = from === taken?.byteLength;
          const headers = { "content-range": `${from}-${from + body.byteLength - 1}` };
          const response = await send("PATCH", location, { body, headers });
          expect(response.status).toBe(!taken ? 404 : fits ? 202 : 416);
          if (taken && fits) taken = concat([taken, body]);
          if (taken) expect(response.headers.get("range")).toBe(range());
        } else if (one.do === "stream") {
          const response = await send("PATCH", location, { body: encode(one.bytes) });
          expect(response.status).toBe(taken ? 202 : 404);
          if (taken) taken = concat([taken, encode(one.bytes)]);
        } else if (one.do === "status") {
          const response = await send("GET", location);
          expect([response.status, response.headers.get("range")]).toEqual(
            taken ? [204, range()] : [404, null],
          );
        } else if (one.do === "strange repository") {
          expect((await send("PATCH", location.replace("/app/", "/other/"), { body: "x" })).status).toBe(404);
        } else if (one.do === "strange visitor") {
          expect((await send("PATCH", location, { body: "x" }, "somebody else")).status).toBe(404);
        } else if (one.do === "restart") {
          registry.parts.ledger.close();
          registry = await openLayoutRegistry(dir.path);
          await registry.sweep();
        } else if (one.do === "cancel") {
          expect((await send("DELETE", location)).status).toBe(taken ? 204 : 404);
          taken = undefined;
        } else {
          const digest = digestOf(one.do === "finish" ? (taken ?? encode("")) : encode("something else"));
          const response = await send("PUT", `${location}?digest=${digest}`);
          expect(response.status).toBe(!taken ? 404 : one.do === "finish" ? 201 : 400);
          const blob = await send("HEAD", `/v2/app/blobs/${digest}`);
          if (taken) expect(blob.status).toBe(one.do === "finish" ? 200 : 404);
          if (taken && one.do === "finish")
            expect(blob.headers.get("content-length")).toBe(String(taken.byteLength));
          taken = undefined;
        }
      }
      registry.parts.ledger.close();
    }),
    { numRuns: Number(process.env["DAVIT_MODEL_RUNS"] ?? 60) },
  );
}, 120_000);
