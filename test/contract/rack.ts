import { expect, describe as suite, test } from "bun:test";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type ByteStream, collect, decode, streamOf } from "../../src/bytes.ts";
import type { Rack } from "../../src/rack/rack.ts";
import { bundleOf, LOG, MANIFEST, multiPlatformBuild, RECORD, sampleBundle } from "../support/bundles.ts";
import { importOne } from "../support/import-one.ts";

/** A rack, and the directory it lies in. */
export type TestedRack = Rack & { dir: string };

/** What every rack promises; the embedded one, and later the one over HTTP. Builds come in by import, so no engine is needed. */
export function testRack(name: string, open: () => Promise<TestedRack>): void {
  const withApp = async (work: (rack: TestedRack) => Promise<void>): Promise<void> => {
    await using rack = await open();
    await rack.createApp("shop");
    await work(rack);
  };
  const importInto = async (rack: Rack, services?: string[], seed?: string) =>
    await importOne(rack, streamOf(await sampleBundle(services, seed)), {});
  const read = async (stream: ByteStream) => await collect(stream, 1e8, "stream");
  const codeOf = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.catch((e: unknown) => e);
    return error instanceof Error && "code" in error ? String(error.code) : "no error";
  };

  suite(name, () => {
    test("apps are listed by name, made once, and gone when deleted", () =>
      withApp(async (rack) => {
        await rack.createApp("about");
        expect((await rack.apps()).map((app) => app.name)).toEqual(["about", "shop"]);
        expect(await codeOf(rack.createApp("shop"))).toBe("exists");
        await rack.deleteApp("about");
        expect(await codeOf(rack.app("about"))).toBe("not-found");
        expect(await rack.formerApps()).toEqual([]);
        expect(await codeOf(rack.createApp("about", "3", "ANONENONENO"))).toBe("not-found");
      }));

    test("app names that could not be a host's or are reserved are refused", () =>
      withApp(async (rack) => {
        for (const bad of ["", "Shop", "1shop", "a/b", "..", "rack", "system", "x".repeat(64)])
          expect(await codeOf(rack.createApp(bad))).toBe("invalid");
      }));

    test("an unknown app, build or release is not-found", () =>
      withApp(async (rack) => {
        for (const absent of [
          () => rack.builds("none"),
          () => rack.build("shop", "BNONENONENO"),
          () => rack.build("none", "BNONENONENO"),
          () => rack.buildLog("shop", "BNONENONENO"),
          () => rack.exportBuilds("shop", ["BNONENONENO"]),
          () => rack.deleteBuild("shop", "BNONENONENO"),
          () => rack.release("shop", "RNONENONENO"),
          () => rack.releases("none"),
        ])
          expect(await codeOf(absent())).toBe("not-found");
      }));

    test("an import makes a new build with what the bundle says of it, and a release", () =>
      withApp(async (rack) => {
        const build = await importInto(rack, ["web", "api"]);
        expect(build.id).toMatch(/^B[A-Z]{10}$/);
        expect(build.release).toMatch(/^R[A-Z]{10}$/);
        expect(build).toMatchObject({
          status: "complete",
          description: RECORD.description,
          entrypoint: RECORD.entrypoint,
        });
        expect(build).toMatchObject({
          manifest: MANIFEST,
          "git-sha": RECORD["git-sha"],
          "wildcard-domain": true,
        });
        const release = await rack.release("shop", build.release);
        expect(release).toMatchObject({
          build: build.id,
          manifest: MANIFEST,
          description: RECORD.description,
        });
        expect(Object.keys((await rack.build("shop", build.id)).images ?? {})).toEqual(["api", "web"]);
        expect(decode(await read(await rack.buildLog("shop", build.id)))).toBe(LOG);
      }));

    test("export gives the same bytes twice, of the size it said, and the same content id after an import", () =>
      withApp(async (rack) => {
        const build = await importInto(rack, ["web", "api"]);
        const first = await rack.exportBuilds("shop", [build.id]);
        const bytes = await read(first.stream);
        expect(first.size).toBe(bytes.byteLength);
        expect(Buffer.compare(await read((await rack.exportBuilds("shop", [build.id])).stream), bytes)).toBe(
          0,
        );
        const again = await importOne(rack, streamOf(bytes), {});
        expect(again.id).not.toBe(build.id);
        expect(again.digest).toBe(build.digest ?? "");
      }));

    test("an image for several platforms travels whole, and keeps its index's digest", () =>
      withApp(async (rack) => {
        const sample = await multiPlatformBuild();
        const build = await importOne(rack, streamOf(await bundleOf(sample)), {});
        const digest = sample.images.get("web")?.digest ?? "";
        expect((await rack.build("shop", build.id)).images).toEqual({ web: digest });
        const again = await read((await rack.exportBuilds("shop", [build.id])).stream);
        const copied = await importOne(rack, streamOf(again), {});
        expect((await rack.build("shop", copied.id)).images).toEqual({ web: digest });
        expect(copied.digest).toBe(build.digest ?? "");
      }));

    test("builds are listed newest first, as many as asked for", () =>
      withApp(async (rack) => {
        const ids: string[] = [];
        for (const seed of ["one", "two", "three"]) ids.unshift((await importInto(rack, ["web"], seed)).id);
        expect((await rack.builds("shop")).map((build) => build.id)).toEqual(ids);
        expect((await rack.builds("shop", 2)).map((build) => build.id)).toEqual(ids.slice(0, 2));
      }));

    test("the same idempotency key returns the first import's build", () =>
      withApp(async (rack) => {
        const bundle = await sampleBundle();
        const first = await importOne(rack, streamOf(bundle), { idempotencyKey: "k1" });
        const second = await importOne(rack, streamOf(bundle), { idempotencyKey: "k1" });
        expect(second.id).toBe(first.id);
        expect(await rack.builds("shop")).toHaveLength(1);
      }));

    test("a cut archive leaves no build and no release, and the whole one then imports", () =>
      withApp(async (rack) => {
        const bundle = await sampleBundle(["web", "api"]);
        for (const length of [0, 511, 700, 5000, bundle.byteLength / 2])
          expect(await codeOf(importOne(rack, streamOf(bundle.slice(0, length)), {}))).toBe(
            length < 512 ? "bad-archive" : "cut-archive",
          );
        expect(await rack.builds("shop")).toEqual([]);
        expect(await rack.releases("shop")).toEqual([]);
        expect((await importOne(rack, streamOf(bundle), {})).status).toBe("complete");
      }));

    test("a deleted build takes its releases along; another build with the same layers stays whole", () =>
      withApp(async (rack) => {
        const bundle = await sampleBundle(["web", "api"]);
        const first = await importOne(rack, streamOf(bundle), {});
        const second = await importOne(rack, streamOf(bundle), {});
        await rack.deleteBuild("shop", first.id);
        expect((await rack.releases("shop")).map((release) => release.id)).toEqual([second.release]);
        expect(await codeOf(rack.build("shop", first.id))).toBe("not-found");
        expect(
          (await read((await rack.exportBuilds("shop", [second.id])).stream)).byteLength,
        ).toBeGreaterThan(0);
      }));

    test("a release inherits env and build from the newest, and says what changed", () =>
      withApp(async (rack) => {
        const build = await importInto(rack);
        const first = await rack.createRelease("shop", { env: "A=1\nB=2" });
        expect(first).toMatchObject({
          build: build.id,
          env: "A=1\nB=2",
          manifest: MANIFEST,
          description: "env add:A,B",
        });
        const second = await rack.createRelease("shop", { env: "A=1\nB=3\nC=4" });
        expect(second.description).toBe("env add:C change:B");
        const third = await rack.createRelease("shop", { parent: first.id, description: "back" });
        expect(third).toMatchObject({ env: "A=1\nB=2", description: "back" });
        expect((await importInto(rack, ["web"], "later")).release).not.toBe("");
        expect((await rack.releases("shop", 1))[0]?.env).toBe("A=1\nB=2");
      }));

    test("many releases at once are all kept", () =>
      withApp(async (rack) => {
        const made = await Promise.all(
          Array.from({ length: 8 }, (_, i) => rack.createRelease("shop", { env: `N=${i}` })),
        );
        expect(new Set(made.map((release) => release.id)).size).toBe(8);
        expect(await rack.releases("shop", 100)).toHaveLength(8);
      }));

    test("many imports at once are all whole", () =>
      withApp(async (rack) => {
        const bundle = await sampleBundle(["web", "api"]);
        const builds = await Promise.all(
          Array.from({ length: 5 }, () => importOne(rack, streamOf(bundle), {})),
        );
        expect(new Set(builds.map((build) => build.id)).size).toBe(5);
        for (const build of builds) await read((await rack.exportBuilds("shop", [build.id])).stream);
      }));

    test("a promoted release is the active one; an older one is not promoted after it", () =>
      withApp(async (rack) => {
        const build = await importInto(rack);
        const next = await rack.createRelease("shop", { env: "A=1" });
        await rack.promote("shop", next.id);
        expect(await rack.app("shop")).toMatchObject({ release: next.id, status: "running" });
        expect(await codeOf(rack.promote("shop", build.release))).toBe("invalid");
        expect(await codeOf(rack.promote("shop", "RNONENONENO"))).toBe("not-found");
        await rack.createApp("empty");
        const bare = await rack.createRelease("empty", { env: "A=1" });
        expect(await codeOf(rack.promote("empty", bare.id))).toBe("invalid");
        expect(await codeOf(rack.deleteBuild("shop", build.id))).toBe("conflict");
      }));

    test("a locked app is not deleted", () =>
      withApp(async (rack) => {
        await rack.updateApp("shop", { locked: true, parameters: { BuildMem: "512" } });
        expect(await rack.app("shop")).toMatchObject({ locked: true, parameters: { BuildMem: "512" } });
        expect(await codeOf(rack.deleteApp("shop"))).toBe("conflict");
        await rack.updateApp("shop", { locked: false });
        await rack.deleteApp("shop");
      }));

    test("registries are added, changed, listed and removed, whatever their names hold", async () => {
      await using rack = await open();
      const hub = { server: "https://index.docker.io/v1/", username: "me", password: "p@ss word" };
      await rack.addRegistry({ ...hub, password: "first" });
      await rack.addRegistry(hub);
      await rack.addRegistry({ server: "registry.example.com:5000", username: "ci", password: "x" });
      expect(await rack.registries()).toEqual([
        hub,
        { server: "registry.example.com:5000", username: "ci", password: "x" },
      ]);
      await rack.removeRegistry(hub.server);
      expect(await codeOf(rack.removeRegistry(hub.server))).toBe("not-found");
      expect(await codeOf(rack.addRegistry({ ...hub, username: " " }))).toBe("invalid");
    });

    test("a registry's login is for all apps, or for some until they are deleted", () =>
      withApp(async (rack) => {
        const login = { server: "registry.example.com", username: "ci", password: "x" };
        await rack.addRegistry({ ...login, apps: ["shop"] });
        expect(await rack.registries()).toEqual([{ ...login, apps: ["shop"] }]);
        expect(await codeOf(rack.addRegistry({ ...login, apps: ["none"] }))).toBe("not-found");
        await rack.deleteApp("shop");
        expect(await rack.registries()).toEqual([{ ...login, apps: [] }]);
        await rack.addRegistry(login);
        expect(await rack.registries()).toEqual([login]);
      }));

    test("tokens are listed with what they may do, until they are revoked", () =>
      withApp(async (rack) => {
        await rack.createToken({ role: "read", hours: 1, name: "reader" });
        await rack.createToken({ role: "write", hours: 1, apps: ["shop"], name: "ci" });
        const listed = await rack.tokens();
        expect(listed.map(({ name, role, apps }) => [name, role, apps]).sort()).toEqual([
          ["ci", "deploy", ["shop"]],
          ["reader", "read", []],
        ]);
        for (const { id } of listed) await rack.revokeToken(id);
        expect(await rack.tokens()).toEqual([]);
        expect(await codeOf(rack.revokeToken("TNONENONENO"))).toBe("not-found");
        await rack.revokeOlderTokens();
      }));

    test("parameters have defaults, are set all or none, and go back to them", async () => {
      await using rack = await open();
      const param = async (name: string) => (await rack.system()).parameters[name];
      expect(await param("BuildCache")).toBe("No");
      await rack.setParams({ BuildCache: "Yes", BuildCacheRetentionDays: "60" });
      expect([await param("BuildCache"), await param("BuildCacheRetentionDays")]).toEqual(["Yes", "60"]);
      expect(await codeOf(rack.setParams({ BuildCache: "No", BuildCacheRetentionDays: "366" }))).toBe(
        "invalid",
      );
      expect(await param("BuildCache")).toBe("Yes");
      await rack.setParams({ BuildCache: "" });
      expect(await param("BuildCache")).toBe("No");
    });

    test(
      "an image in no registry fails the build that was to be made of it, with a reason",
      () =>
        withApp(async (rack) => {
          const relay = { image: "127.0.0.1:1/none:1", manifest: MANIFEST };
          expect(await codeOf(rack.relayImage("shop", relay))).toBe("build-failed");
          const [build] = await rack.builds("shop");
          expect(build).toMatchObject({ status: "failed", release: "" });
          expect(await codeOf(rack.relayImage("shop", { ...relay, image: "a//b" }))).toBe("invalid");
        }),
      20_000,
    );

    test("what follows a commit and fails is a warning, never a failure, and is done after the next change", () =>
      withApp(async (rack) => {
        const [first, second] = [await importInto(rack), await importInto(rack, ["web"], "another")];
        const layout = join(rack.dir, "layout");
        const faults = [join(layout, "index.json"), join(rack.dir, "lock.db")];
        for (const place of faults) {
          await rm(place, { force: true });
          await mkdir(place);
        }
        const third = await importInto(rack, ["web"], "a third");
        expect(third.status).toBe("complete");
        await rack.deleteBuild("shop", first.id);
        await rack.createRelease("shop", { env: "A=1" });
        await rack.createApp("other");
        await rack.importBuilds("other", streamOf(await sampleBundle(["web"], "a fourth")), {});
        await rack.deleteApp("other");
        expect((await rack.builds("shop")).map(({ id }) => id)).toEqual([third.id, second.id]);
        expect((await rack.apps()).map((app) => app.name)).toEqual(["shop"]);
        const warnings = (await rack.events()).filter(({ action }) => action === "rack:upkeep");
        expect(warnings).toContainEqual(
          expect.objectContaining({ error: expect.stringContaining("index.json is not up to date: ") }),
        );

        for (const place of faults) await rm(place, { recursive: true });
        await rack.deleteBuild("shop", second.id);
        const view = JSON.parse(await readFile(join(layout, "index.json"), "utf8"));
        // What lies in a registry is not in the directory.
        const isHere = third.store === undefined;
        expect(view.manifests).toMatchObject(isHere ? [{ digest: third.digest }] : []);
        // What was pushed through `/v2` is kept for a day, also after a deletion.
        const isServed = (await rack.system()).outputs["davit"] !== undefined;
        if (isHere && !isServed)
          expect(await readdir(join(layout, "blobs/sha256"))).toHaveLength((await rack.blobs("shop")).length);
      }));

    test("an import that is tried again while it goes on is one import", () =>
      withApp(async (rack) => {
        const bundle = await sampleBundle(["web", "api"]);
        const again = () => importOne(rack, streamOf(bundle), { idempotencyKey: "k1" });
        const builds = await Promise.all([again(), again(), again()]);
        expect(new Set(builds.map(({ id }) => id)).size).toBe(1);
        expect(await rack.builds("shop")).toHaveLength(1);
        expect(await rack.releases("shop")).toHaveLength(1);
      }));

    test("the rack reports a version that convox clients take for a current one", async () => {
      await using rack = await open();
      expect((await rack.system()).version).toMatch(/^3\.\d+\.\d+$/);
    });
  });
}
