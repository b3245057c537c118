import { DavitError } from "../errors.ts";
import type { Event } from "../rack/event-ledger.ts";
import type { Form } from "./form.ts";
import type { Visitor } from "./login.ts";

const ACTION = /^[a-z][a-z-]{0,30}:[a-z][a-z-]{0,30}$/;
const NAME = /^[a-z][a-z_-]{0,30}$/;
const MOST_DATA = 10;
/** The event that clients note of a build that they made themselves; a deploy key may note no other. */
const BUILD = "build:create";
const BUILD_DATA: Record<string, RegExp> = { app: /./, id: /^B[A-Z]{10}$/, release_id: /^R[A-Z]{10}$/ };

/** Reads an event that a client asks the rack to note. Its actor is the login, and its source the client. Errors: `invalid`; `denied` where a deploy key notes anything but builds of its apps. */
export function clientEvent(form: Form, visitor: Visitor): Omit<Event, "at"> {
  const [action, error] = [form.text("action") ?? "", form.text("error") ?? ""];
  const data = form.map("data") ?? {};
  const names = Object.keys(data);
  if (!ACTION.test(action) || names.length > MOST_DATA || !names.every((name) => NAME.test(name)))
    throw new DavitError("invalid", "invalid event");
  if (visitor.role === "deploy") requireBuild(action, data, visitor.apps ?? []);
  const status = form.text("status") || (error === "" ? "success" : "error");
  if (status !== "success" && status !== "error") throw new DavitError("invalid", "invalid event status");
  return { actor: visitor.name, action, status, error, data, source: "client" };
}

function requireBuild(action: string, data: Record<string, string>, apps: readonly string[]): void {
  const isBuild = Object.entries(data).every(([name, value]) => BUILD_DATA[name]?.test(value));
  if (action !== BUILD || !isBuild || !apps.includes(data["app"] ?? ""))
    throw new DavitError("denied", "this login may note builds of its apps only");
}
