import { json, ok } from "../answer.ts";
import type { Form } from "../form.ts";
import { type RackCall, type Route, route } from "../route.ts";

export const releases: readonly Route[] = [
  route(
    "GET /apps/$app/releases",
    async ({ rack, form, params: { app = "" } }) => json(await rack.releases(app, form.limit())),
    { deploy: true },
  ),
  route(
    "POST /apps/$app/releases",
    async ({ rack, form, params: { app = "" } }) => json(await rack.createRelease(app, wanted(form))),
    { deploy: true, event: "release:create" },
  ),
  route(
    "GET /apps/$app/releases/$id",
    async ({ rack, params: { app = "", id = "" } }) => json(await rack.release(app, id)),
    { deploy: true },
  ),
  route("POST /apps/$app/releases/$id/promote", promote, { deploy: true, event: "release:promote" }),
];

/** An empty field says nothing, but for env: that may be emptied. */
function wanted(form: Form) {
  const [build, description, parent] = [
    form.text("build"),
    form.text("description"),
    form.text("parent-release"),
  ];
  const env = form.has("env") ? form.text("env") : undefined;
  return {
    ...(build ? { build } : {}),
    ...(description ? { description } : {}),
    ...(env === undefined ? {} : { env }),
    ...(parent ? { parent } : {}),
  };
}

/** Answers when it has begun; the app's status says how it goes on. */
async function promote({ rack, served, form, params: { app = "", id = "" } }: RackCall): Promise<Response> {
  const timeout = form.int("timeout");
  await served.promote(rack, app, id, {
    force: form.on("force"),
    minimum: form.int("min"),
    maximum: form.int("max"),
    // Seconds.
    timeout: timeout && timeout * 1000,
  });
  return ok();
}
