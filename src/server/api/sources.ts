import { json } from "../answer.ts";
import { bodyOf } from "../body.ts";
import { type Route, route } from "../route.ts";

/** davit's own: a directory goes up as what differs from the last one. */
export const sources: readonly Route[] = [
  route(
    "POST /apps/$app/sources",
    async ({ rack, served, request, url, params: { app = "" } }) => {
      const before = url.searchParams.get("mirror") ?? "";
      return json(await served.mirrors.ask(await rack.idOf(app), before, bodyOf(request)));
    },
    { raw: true, deploy: true },
  ),
  route(
    "POST /apps/$app/sources/$mirror/$root",
    async ({ rack, served, request, params: { app = "", mirror = "", root = "" } }) => {
      const id = await rack.idOf(app);
      const held = await served.mirrors.put(id, mirror, root, bodyOf(request), request.signal);
      return json({ Url: `tree://${app}/${held}` });
    },
    { raw: true, deploy: true },
  ),
];
