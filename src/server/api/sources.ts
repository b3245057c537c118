import { json } from "../answer.ts";
import { bodyOf } from "../body.ts";
import { type Route, route } from "../route.ts";

/** davit's own: a directory goes up as what differs from the last one. */
export const sources: readonly Route[] = [
  route(
    "POST /apps/$app/sources",
    async ({ rack, served, request, url, params: { app = "" } }) => {
      await rack.app(app);
      const before = url.searchParams.get("mirror") ?? "";
      return json(await served.mirrors.ask(app, before, bodyOf(request)));
    },
    { raw: true, deploy: true },
  ),
  route(
    "POST /apps/$app/sources/$mirror/$root",
    async ({ rack, served, request, params: { app = "", mirror = "", root = "" } }) => {
      await rack.app(app);
      return json({ Url: await served.mirrors.put(app, mirror, root, bodyOf(request), request.signal) });
    },
    { raw: true, deploy: true },
  ),
];
