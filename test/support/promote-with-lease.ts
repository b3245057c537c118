import { rackOptions } from "../../src/commands/context.ts";
import { EmbeddedRack } from "../../src/rack/embedded.ts";

/* A davit that promotes, whose promotions outlive its last sign of life by few milliseconds only: RACK APP RELEASE LEASE. */
const [name = "", app = "", release = "", lease = ""] = process.argv.slice(2);
await using rack = await EmbeddedRack.open(name, {
  ...rackOptions(process.env),
  promotionLease: Number(lease),
});
await rack.promote(app, release);
