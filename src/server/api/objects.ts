import { toReadable } from "../../bytes.ts";
import { DavitError } from "../../errors.ts";
import { json, ok } from "../answer.ts";
import { bodyOf } from "../body.ts";
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
      return new Response(toReadable(stream), { headers: { "content-type": "application/octet-stream" } });
    },
    { deploy: true },
  ),
  route("DELETE /apps/$app/objects/$$key", async ({ served, params: { app = "", key = "" } }) => {
    await served.deleteObject(app, checkKey(key));
    return ok();
  }),
  route("GET /apps/$app/objects", async ({ served, form, params: { app = "" } }) =>
    json(await served.objects(app, form.text("prefix") ?? "")),
  ),
];

function checkKey(key: string): string {
  const parts = key.split("/");
  if (key.length > 1000 || key.includes("\0") || parts.includes("..") || (key !== "" && parts.includes("")))
    throw new DavitError("invalid", "invalid object key");
  return key;
}
