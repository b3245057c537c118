import type { ByteStream, Bytes } from "../../bytes.ts";
import { DavitError } from "../../errors.ts";
import { Garbage } from "../../garbage.ts";
import { json, ok } from "../answer.ts";
import { type Route, route } from "../route.ts";

export const objects: readonly Route[] = [
  route(
    "POST /apps/$app/objects/$$key",
    async ({ served, request, params: { app = "", key = "" } }) => {
      const url = await served.putObject(app, checkKey(key), bodyOf(request));
      return json({ Url: url });
    },
    { raw: true, deploy: true },
  ),
  route(
    "GET /apps/$app/objects/$$key",
    async ({ served, params: { app = "", key = "" } }) => {
      const { stream } = await served.object(app, checkKey(key));
      const { toReadable } = await import("../../bytes.ts");
      return new Response(toReadable(stream), { headers: { "content-type": "application/octet-stream" } });
    },
    { deploy: true },
  ),
  route("DELETE /apps/$app/objects/$$key", async ({ served, params: { app = "", key = "" } }) => {
    await served.deleteObject(app, checkKey(key));
    return ok();
  }),
  route("GET /apps/$app/objects", async ({ served, form, params: { app = "" } }) =>
    json(served.objects(app, form.text("prefix") ?? "")),
  ),
];

function checkKey(key: string): string {
  const parts = key.split("/");
  if (key.length > 1000 || key.includes("\0") || parts.includes("..") || (key !== "" && parts.includes("")))
    throw new DavitError("invalid", "invalid object key");
  return key;
}

/** A request's body, its chunks given back as they are used. */
export async function* bodyOf(request: Request): AsyncGenerator<Bytes> {
  const body: ByteStream | null = request.body;
  if (!body) return;
  const garbage = new Garbage();
  for await (const chunk of body) {
    yield chunk;
    garbage.free(chunk);
  }
}
