import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeImageContext } from "../../bench/image.ts";
import { sandbox } from "../support/davit.ts";
import { verdict } from "./verdict.ts";

/* A thin bundle for a one-file change in an app of 1 GB: its size, and equal digests on the other side. Needs an engine. */
using box = sandbox();
const app = box.join("app");
await writeImageContext(app, 1.6);
await writeFile(join(app, "app.js"), "console.log(1)\n");
await writeFile(
  join(app, "Dockerfile"),
  "FROM scratch\nCOPY half /half\nCOPY random /random\nCOPY small /small\nCOPY app.js /app.js\n",
);
await writeFile(join(app, "convox.yml"), "services:\n  web:\n    build: .\n");
const build = async () => await box.json(["build", "-a", "shop"], { cwd: app });
const base = await build();
await writeFile(join(app, "app.js"), "console.log(2)\n");
const next = await build();
await rm(app, { recursive: true });

await box.ok(["racks", "add", "far"]);
await box.ok(["builds", "copy", base.id, "-a", "shop", "--to", "far"]);
await writeFile(box.join("have.txt"), await box.ok(["builds", "have", "-a", "shop", "-r", "far"]));
await box.ok(["builds", "export", next.id, "-a", "shop", "-f", box.join("whole.tar")]);
await box.ok([
  "builds",
  "export",
  next.id,
  "-a",
  "shop",
  "--have",
  box.join("have.txt"),
  "-f",
  box.join("thin.tar"),
]);
const [whole, thin, list] = await Promise.all(
  ["whole.tar", "thin.tar", "have.txt"].map(async (name) => (await stat(box.join(name))).size),
);
const began = performance.now();
const there = await box.json(["builds", "import", "-a", "shop", "-r", "far", "-f", box.join("thin.tar")]);
const seconds = (performance.now() - began) / 1000;
const images = async (id: string, rack: string) =>
  (await box.json(["builds", "info", id, "-a", "shop", "-r", rack])).images;
const equal =
  there.digest === next.digest &&
  JSON.stringify(await images(there.id, "far")) === JSON.stringify(await images(next.id, "local"));
verdict(
  equal && (thin ?? 0) < 100_000,
  "a thin bundle for one changed file of a 1 GB app, and equal digests on the other side",
  `${((whole ?? 0) / 1e6).toFixed(0)} MB whole (compressed), ${((thin ?? 0) / 1e3).toFixed(1)} kB thin, ${((list ?? 0) / 1e3).toFixed(1)} kB list, imported in ${seconds.toFixed(2)} s`,
);
