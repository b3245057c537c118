import { DavitError } from "../../errors.ts";
import { json, ok } from "../answer.ts";
import { type RackCall, type Route, route } from "../route.ts";

/** Who sees only some apps is told of no others. */
function visible({ visitor }: RackCall, name: string): boolean {
  return visitor.apps === undefined || visitor.apps.includes(name);
}

export const apps: readonly Route[] = [
  route(
    "GET /apps",
    async (call) => json((await call.rack.apps()).filter(({ name }) => visible(call, name))),
    { deploy: true },
  ),
  route(
    "POST /apps",
    async ({ rack, form, visitor }) => {
      // Data of a deleted app may be anybody's: only an administrator gives it to a new one.
      const former = form.text("data-of") || undefined;
      if (former !== undefined && !visitor.role.includes("a"))
        throw new DavitError("denied", "you are unauthorized to access this");
      return json(await rack.createApp(form.text("name") ?? "", form.text("generation") ?? "3", former));
    },
    { event: "app:create" },
  ),
  route("GET /system/apps/deleted", async ({ rack }) => json(await rack.formerApps()), { right: "a" }),
  route("GET /apps/$app", async ({ rack, params: { app = "" } }) => json(await rack.app(app)), {
    deploy: true,
  }),
  route(
    "PUT /apps/$app",
    async ({ rack, form, params: { app = "" } }) => {
      await rack.updateApp(app, { locked: form.bool("lock"), parameters: form.map("parameters") });
      return ok();
    },
    { event: "app:update" },
  ),
  route(
    "DELETE /apps/$app",
    async ({ rack, params: { app = "" } }) => {
      await rack.deleteApp(app);
      return ok();
    },
    { event: "app:delete" },
  ),
  route("POST /apps/$app/cancel", async ({ rack, params: { app = "" } }) => {
    await rack.cancel(app);
    return ok();
  }),
  route("GET /apps/$app/configs/$name", async ({ rack, params: { app = "", name = "" } }) => {
    await rack.app(app);
    return json({ name, value: await rack.settings.config(app, name) });
  }),
  route("PUT /apps/$app/configs/$name", async ({ rack, form, params: { app = "", name = "" } }) => {
    await rack.app(app);
    const value = Buffer.from(form.text("value") ?? "", "base64").toString("utf8");
    await rack.settings.setConfig(app, name, value);
    return ok();
  }),
  route("GET /apps/$app/budget", async ({ rack, params: { app = "" } }) => {
    await rack.app(app);
    return json({ config: null, state: null });
  }),
];
