import { expect, test } from "bun:test";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import { type Digest, digestOf } from "../../src/oci/digest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { pullSecret, resourceSecret } from "../../src/rack/app-secrets.ts";
import type { FinishedBuild, NewBuild } from "../../src/rack/build-ledger.ts";
import type { Garbage } from "../../src/rack/garbage-ledger.ts";
import { newId } from "../../src/rack/ids.ts";
import type { Ledger } from "../../src/rack/ledger.ts";
import { OWN } from "../../src/rack/place-ledger.ts";
import { Seal } from "../../src/rack/seal.ts";
import { tempDir } from "../support/temp.ts";

/** One place for a ledger, opened as often as a test likes. */
export interface LedgerBox extends AsyncDisposable {
  open(now?: () => Date): Promise<Ledger>;
}

const HOUR = 60 * 60 * 1000;
const REGISTRY = "registry.example/team";

/** What every ledger does, whatever database it is in. */
export function testLedger(name: string, makeBox: () => Promise<LedgerBox>): void {
  const sentence = (what: string, body: (ledger: Ledger, box: LedgerBox) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      await using box = await makeBox();
      const ledger = await box.open();
      try {
        await ledger.apps.create("shop");
        await body(ledger, box);
      } finally {
        await ledger.close();
      }
    });
  };

  sentence("an app is made once, and apps come in the order of their bytes", async (ledger) => {
    await expect(ledger.apps.create("shop")).rejects.toThrow("app already exists: shop");
    for (const app of ["b", "a-b", "ab", "a"]) await ledger.apps.create(app);
    expect((await ledger.apps.list()).map((app) => app.name)).toEqual(["a", "a-b", "ab", "b", "shop"]);
    await ledger.apps.update("a", { parameters: { One: "1" } });
    await ledger.apps.update("a", { locked: true, parameters: { Two: "2" } });
    expect(await ledger.apps.find("a")).toMatchObject({ locked: true, parameters: { One: "1", Two: "2" } });
    await expect(remove(ledger, "a")).rejects.toThrow("app is locked");
    await remove(ledger, "b");
    await expect(ledger.apps.find("b")).rejects.toThrow("app not found: b");
  });

  sentence("what is known of an app and kept for it is never the next app's of its name", async (ledger) => {
    using dir = tempDir();
    const settings = ledger.settings(await Seal.open(dir.join("key"), undefined));
    const names = [pullSecret, (id: string) => resourceSecret(id, "db")];
    const secrets = async () => {
      const id = await ledger.apps.id("shop");
      return await Promise.all(names.map((name) => settings.secret(name(id))));
    };
    const first = await ledger.apps.id("shop");
    const [pull, password] = await secrets();
    await ledger.appFacts.set("shop", "scale web", "{}");
    expect(await ledger.appFacts.beginning("scale ")).toEqual([
      { app: "shop", name: "scale web", value: "{}" },
    ]);
    await remove(ledger, "shop");
    expect(await ledger.appFacts.beginning("")).toEqual([]);
    await expect(ledger.appFacts.set("shop", "scale web", "{}")).rejects.toThrow("app not found");
    expect(await ledger.apps.former()).toMatchObject([{ id: first, name: "shop" }]);

    await ledger.apps.create("shop");
    const second = await ledger.apps.id("shop");
    expect(second).not.toBe(first);
    expect(await ledger.appFacts.known("shop", "scale web")).toBeUndefined();
    for (const secret of await secrets()) expect([pull, password]).not.toContain(secret);

    await expect(ledger.apps.create("shop", "3", "AOTHER", first)).rejects.toThrow("app already exists");
    await expect(ledger.apps.create("other", "3", "AOTHER", second)).rejects.toThrow("no deleted app");
    await remove(ledger, "shop");
    await ledger.apps.create("shop", "3", "AOTHER", first);
    expect(await ledger.apps.id("shop")).toBe(first);
    const [freshPull, samePassword] = await secrets();
    expect(freshPull).not.toBe(pull);
    expect(samePassword).toBe(password);
    expect((await ledger.apps.former()).map(({ id }) => id)).toEqual([second]);
  });

  sentence(
    "a domain is whoever's came first, until its app's releases have it no more",
    async (ledger, box) => {
      const { domains } = ledger;
      const named = (...names: string[]) =>
        names.map((name) => ({ name, service: "web", generated: name.startsWith("*.gen") }));
      await ledger.apps.create("evil");
      expect(await domains.claim("shop", named("a.example", "*.b.example", "*.gen-x.apps.example"))).toEqual(
        [],
      );
      const owners = async (...names: string[]): Promise<string[]> =>
        (await domains.taken("evil", named(...names))).map(({ name, owner }) => `${name} ${owner}`);
      expect(
        await owners("a.example", "x.b.example", "*.b.example", "*.example", "*.gen-x.apps.example"),
      ).toEqual([
        "a.example shop",
        "x.b.example shop",
        "*.b.example shop",
        "*.example shop",
        "*.gen-x.apps.example shop",
      ]);
      expect(await owners("x.x.b.example", "other.test", "y.gen-x.apps.example")).toEqual([]);
      expect((await domains.claim("evil", named("c.test", "a.example"))).map(({ owner }) => owner)).toEqual([
        "shop",
      ]);
      expect(await domains.taken("shop", named("a.example", "c.test", "*.example"))).toEqual([]);
      const later = await box.open(() => new Date(Date.now() + 10_000));
      await domains.keep("shop", [], []);
      await later.domains.keep("shop", ["RSOMEOTHER"], []);
      expect((await domains.list()).length).toBe(3);
      await later.domains.keep("shop", [], ["a.example"]);
      await later.close();
      expect(await domains.list()).toEqual([{ name: "a.example", app: "shop" }]);
      const both = await Promise.all(["shop", "evil"].map((app) => domains.claim(app, named("race.test"))));
      expect(both.flat().length).toBe(1);
      await ledger.promotions.remove(await ledger.promotions.beginRemoval("shop"));
      expect((await domains.list()).filter(({ app }) => app === "shop")).toEqual([]);
    },
  );

  sentence(
    "writers side by side lose nothing, and no two builds have the same place",
    async (ledger, box) => {
      const other = await box.open();
      const ids = Array.from({ length: 60 }, () => newId("B"));
      await Promise.all(
        ids.map((id, i) => (i % 2 === 0 ? ledger : other).builds.start({ ...blank, id, app: "shop" })),
      );
      const listed = await other.builds.list("shop", 100);
      expect(listed.map(({ id }) => id).sort()).toEqual([...ids].sort());
      const lines = Array.from({ length: 40 }, (_, i) => `line ${i}\n`);
      await Promise.all(
        lines.map((line, i) => (i % 2 === 0 ? ledger : other).builds.logs.append(ids[0] ?? "", line)),
      );
      const chunks = await ledger.builds.logs.chunks(ids[0] ?? "", 0);
      expect(chunks.map(({ seq }) => seq)).toEqual(lines.map((_, i) => i + 1));
      expect(chunks.map(({ bytes }) => bytes).sort()).toEqual([...lines].sort());
      await other.close();
    },
  );

  sentence("a finished build shows with its release and its tags, or nothing of it does", async (ledger) => {
    const done = await startedBuild(ledger, "shop");
    await ledger.builds.finish(done);
    const row = await ledger.builds.find("shop", done.id);
    expect(row).toMatchObject({ status: "complete", release: done.release.id, index_size: done.index.size });
    expect((await ledger.content.tagsOf("shop", `.${done.id}`)).map((tag) => tag.name)).toEqual([
      `web.${done.id}`,
    ]);
    expect((await ledger.releases.newest("shop"))?.id).toBe(done.release.id);
    const late = await startedBuild(ledger, "shop");
    await expect(ledger.builds.finish(late)).rejects.toThrow("meanwhile");
    expect((await ledger.builds.find("shop", late.id)).status).toBe("running");
    expect(await ledger.content.tagsOf("shop", `.${late.id}`)).toEqual([]);
    expect((await ledger.releases.newest("shop"))?.id).toBe(done.release.id);
  });

  sentence(
    "an import of several builds is kept as a whole or not at all, and once for each key",
    async (ledger) => {
      const [one, two] = [await imported(ledger, ""), await imported(ledger, "")];
      await expect(ledger.builds.import([one, two], "key")).rejects.toThrow("meanwhile");
      expect(await ledger.builds.list("shop", 10)).toEqual([]);
      const next = {
        ...two,
        done: { ...two.done, release: { ...two.done.release, parent: one.done.release.id } },
      };
      await ledger.builds.import([one, next], "key");
      const builds = await ledger.builds.importedAs("shop", "key");
      expect(builds.map(({ id }) => id)).toEqual([one.build.id, two.build.id]);
      expect((await ledger.builds.list("shop", 10)).map(({ id }) => id)).toEqual([
        two.build.id,
        one.build.id,
      ]);
    },
  );

  sentence("the log of events is bounded, and nobody pushes out what others did", async (ledger) => {
    const event = { action: "app:create", status: "success", error: "", data: {} };
    await ledger.events.add({ ...event, actor: "quiet" });
    for (let i = 0; i < 1100; i++)
      await ledger.events.add({
        ...event,
        actor: "loud\u001b[31m",
        error: "x".repeat(1000),
        data: { i: `${i}` },
      });
    const kept = await ledger.events.list(5000);
    expect(kept.length).toBeLessThan(1060);
    expect(kept.at(-1)?.actor).toBe("quiet");
    expect(kept[0]).toMatchObject({ actor: "loud [31m", data: { i: "1099" }, source: "rack" });
    expect(kept[0]?.error.length).toBe(500);
  });

  sentence("a token is known until it is revoked, with those that were made with it", async (ledger) => {
    const token = (id: string, parent = "", apps: string[] = []) => ({
      ...{ id, parent, apps, name: "ci", maker: "me", expires: Date.now() + HOUR },
      role: apps.length > 0 ? ("deploy" as const) : ("rw" as const),
    });
    await ledger.apps.create("web");
    for (const one of [token("A"), token("B", "A"), token("C", "B"), token("D", "", ["web", "shop"])])
      await ledger.tokens.add(one);
    await ledger.tokens.noteUse("A");
    expect((await ledger.tokens.list()).map(({ id }) => id).sort()).toEqual(["A", "B", "C", "D"]);
    expect(await ledger.tokens.find("D")).toMatchObject({ role: "deploy", apps: ["shop", "web"], used: 0 });
    await ledger.tokens.revoke("A");
    expect((await ledger.tokens.list()).map(({ id }) => id)).toEqual(["D"]);
    expect(await ledger.tokens.find("C")).toBeUndefined();
    await expect(ledger.tokens.revoke("A")).rejects.toThrow("no such token");
  });

  sentence("a deploy key ends with its app, and is none of the next app of that name", async (ledger) => {
    await ledger.tokens.add({
      ...{ id: "K", parent: "", apps: ["shop"], name: "ci", maker: "me", expires: Date.now() + HOUR },
      role: "deploy",
    });
    await remove(ledger, "shop");
    await ledger.apps.create("shop");
    expect([await ledger.tokens.find("K"), await ledger.tokens.list()]).toEqual([undefined, []]);
  });

  sentence("a build that has ended does not change any more", async (ledger) => {
    const { id } = await ledger.builds.create({ ...blank, id: newId("B"), app: "shop" });
    await ledger.builds.note("shop", id, { manifest: "services: {}\n", status: "running" });
    await ledger.builds.fail(id, "because");
    await ledger.builds.fail(id, "another reason");
    expect(await ledger.builds.find("shop", id)).toMatchObject({ status: "failed", reason: "because" });
    await expect(ledger.builds.note("shop", id, { manifest: "x" })).rejects.toThrow("it is failed");
    await expect(ledger.builds.begin(id)).rejects.toThrow("it has ended");
    expect(await ledger.builds.isSealedTag("shop", `web.${id}`)).toBe(true);
    await ledger.builds.remove("shop", id);
    await expect(ledger.builds.find("shop", id)).rejects.toThrow("build not found");
  });

  sentence("a release is promoted forwards only, and its build stays", async (ledger) => {
    const first = await startedBuild(ledger, "shop");
    await ledger.builds.finish(first);
    const second = { ...release(), parent: first.release.id };
    await ledger.releases.create("shop", "", second);
    await ledger.releases.activate("shop", first.release.id);
    await expect(ledger.builds.remove("shop", first.id)).rejects.toThrow("the active release");
    await ledger.releases.activate("shop", second.id);
    await expect(ledger.releases.activate("shop", first.release.id)).rejects.toThrow("older release");
    expect((await ledger.releases.list("shop", 10)).map(({ id }) => id)).toEqual([
      second.id,
      first.release.id,
    ]);
    await ledger.builds.remove("shop", first.id);
    await expect(ledger.releases.find("shop", first.release.id)).rejects.toThrow("release not found");
  });

  sentence("a blob is seen by the app that has it, and by another once it has proved it", async (ledger) => {
    await ledger.apps.create("other");
    const blob = await stored(ledger, "shop", "a blob", 20_000_000_000);
    expect(await ledger.content.has("shop", blob)).toBe(true);
    expect(await ledger.content.has("other", blob)).toBe(false);
    expect(await ledger.registry.blob("shop", blob.digest)).toBe(20_000_000_000);
    expect(await ledger.registry.holdersOf(blob.digest)).toEqual(["shop"]);
    await lease(ledger, async (id) => {
      expect(await ledger.content.adopt("other", { ...blob, size: 1 }, id)).toBe(false);
      expect(await ledger.content.adopt("other", blob, id)).toBe(true);
    });
    expect(await ledger.content.has("other", blob, "none").catch(() => "no lease")).toBe("no lease");
    expect(await ledger.content.blobsOf("other")).toEqual([blob.digest]);
    await ledger.content.rememberLayer("sha256:one", blob);
    await ledger.content.rememberLayer("sha256:one", { ...blob, mediaType: "another" });
    await ledger.content.rememberLayer("sha256:one", describe("compressed in another way"));
    expect((await ledger.content.layers("sha256:one")).map(({ digest }) => digest)).toEqual(
      [blob, describe("compressed in another way")].map(({ digest }) => digest).sort(),
    );
  });

  sentence("tags move, end as they do, and come in the order of their bytes", async (ledger) => {
    const [one, two] = [await stored(ledger, "shop", "one"), await stored(ledger, "shop", "two")];
    for (const tag of ["b", "B", "a", "_", "web.BABCDEFGHIJ", "xweb.babcdefghij", "j"])
      await ledger.content.setTag("shop", tag, one);
    await ledger.content.setTag("shop", "a", two);
    expect((await ledger.content.tag("shop", "a"))?.digest).toBe(two.digest);
    expect(await ledger.registry.tags("shop", "B", 3)).toEqual(["_", "a", "b"]);
    expect((await ledger.content.tagsOf("shop", ".BABCDEFGHIJ")).map((tag) => tag.name)).toEqual([
      "web.BABCDEFGHIJ",
    ]);
    const unknown = describe("three");
    await expect(ledger.content.setTag("shop", "c", unknown)).rejects.toThrow("not in app shop");
    expect(await ledger.registry.deleteTag("shop", "a")).toBe(true);
    expect(await ledger.registry.deleteTag("shop", "a")).toBe(false);
  });

  sentence("a list ends where its texts are long, and goes on where it ended", async (ledger) => {
    const long = "x".repeat(1_500_000);
    for (let i = 0; i < 4; i++)
      await ledger.builds.start({
        ...blank,
        id: newId("B"),
        app: "shop",
        description: i === 3 ? long + long + long : long,
      });
    for (let i = 0; i < 25; i++)
      await ledger.builds.start({ ...blank, id: newId("B"), app: "shop", description: `${i}` });
    const named = (await ledger.builds.list("shop", 1000)).map(({ description }) => description.slice(0, 2));
    expect(named).toEqual([...Array.from({ length: 25 }, (_, i) => `${24 - i}`)]);
    expect(await ledger.builds.list("shop", 12)).toHaveLength(12);
    await ledger.builds.start({ ...blank, id: newId("B"), app: "shop", description: long + long + long });
    expect(await ledger.builds.list("shop", 1000)).toHaveLength(1);

    const subject = describe("subject");
    const pushed = Array.from({ length: 5 }, (_, i) => ({
      ...describe(`${i}`),
      mediaType: mediaTypes.ociManifest,
    }));
    for (const descriptor of pushed)
      await lease(ledger, async (id) => {
        const entry = { ...descriptor, annotations: { long } };
        await ledger.content.addManifest("shop", { descriptor, children: [], subject, entry }, id);
      });
    const found: string[] = [];
    for (let pages = 0; pages < 3; pages++) {
      const page = await ledger.content.referrers("shop", subject.digest, found.at(-1));
      expect(page.length).toBeLessThan(3);
      found.push(...page.map(({ digest }) => digest));
    }
    expect(found).toEqual(pushed.map(({ digest }) => digest).sort());
  });

  sentence(
    "what a tag, a build, a pin, an object or a subject reaches is no garbage, the rest is",
    async (ledger) => {
      const [layer, config, signature, loose, file] = await Promise.all(
        ["layer", "config", "signature", "loose", "file"].map((text) => stored(ledger, "shop", text)),
      );
      if (!layer || !config || !signature || !loose || !file) throw new Error("five were stored");
      const image = { ...describe("image"), mediaType: mediaTypes.ociManifest };
      await lease(ledger, async (id) => {
        await ledger.content.addManifest("shop", { descriptor: image, children: [config, layer] }, id);
        await ledger.content.addManifest(
          "shop",
          { descriptor: { ...signature, mediaType: mediaTypes.ociManifest }, children: [], subject: image },
          id,
        );
        await ledger.content.setTag("shop", "latest", image);
        await ledger.objects.put("shop", "tmp/file", file);
        const pinned = await ledger.content.has("shop", loose, id);
        expect([pinned, await ledger.garbage.mark()]).toEqual([true, []]);
      });
      expect((await ledger.content.referrers("shop", image.digest)).map(({ digest }) => digest)).toEqual([
        signature.digest,
      ]);
      expect(await ledger.registry.deleteBlob("shop", layer.digest)).toBe(image.digest);
      expect(await ledger.garbage.mark()).toEqual([ownGarbage(loose.digest)]);
      expect(await ledger.content.has("shop", loose)).toBe(false);
      expect(await lease(ledger, (id) => ledger.content.claim(id, "shop", loose.digest))).toBe(false);
      await ledger.garbage.forget([ownGarbage(loose.digest)]);
      expect(await lease(ledger, (id) => ledger.content.claim(id, "shop", loose.digest))).toBe(true);
      await ledger.registry.deleteManifest("shop", image.digest);
      await ledger.objects.remove("shop", "tmp/file");
      const gone = [image, layer, config, signature, file].map(({ digest }): string => digest).sort();
      const marked = (await ledger.garbage.mark()).map(({ digest }): string => digest);
      expect(marked.filter((digest) => digest !== loose.digest).sort()).toEqual(gone);
    },
  );

  sentence(
    "a blob that moves is read from its new store, and its old copy goes when nobody reads it",
    async (ledger) => {
      await ledger.apps.create("other");
      const blob = await stored(ledger, "shop", "blob", 20_000_000_000);
      await lease(ledger, (id) => ledger.content.adopt("other", blob, id));
      expect(await ledger.places.countElsewhere(REGISTRY)).toEqual({ blobs: 2, bytes: 40_000_000_000 });
      for (const app of ["shop", "other"]) await ledger.objects.put(app, "key", blob);
      const [first, second] = await ledger.places.elsewhere(REGISTRY, { limit: 10 });
      if (!first || !second) throw new Error("both apps have it");
      expect(await ledger.places.elsewhere(REGISTRY, { limit: 10, after: first })).toEqual([second]);
      expect(await ledger.places.elsewhere(REGISTRY, { limit: 10, manifests: true })).toEqual([]);
      await ledger.places.flip(first, REGISTRY);
      expect(await ledger.places.storeOf(first.app, blob.digest)).toBe(REGISTRY);
      expect(await ledger.content.has(first.app, blob)).toBe(true);
      expect((await ledger.places.holder(blob.digest, REGISTRY))?.app).toBe(first.app);
      expect(await ledger.garbage.mark()).toEqual([]);
      await ledger.places.flip(second, REGISTRY);
      expect(await ledger.garbage.mark()).toEqual([ownGarbage(blob.digest)]);
      expect(await lease(ledger, (id) => ledger.content.claim(id, "shop", blob.digest))).toBe(false);
      expect(await lease(ledger, (id) => ledger.content.claim(id, "shop", blob.digest, REGISTRY))).toBe(true);
      await ledger.garbage.forget(await ledger.garbage.mark());
      expect(await lease(ledger, (id) => ledger.content.adopt("shop", blob, id))).toBe(false);
      await remove(ledger, "other");
      expect(await ledger.garbage.mark()).toEqual([{ store: REGISTRY, app: "other", digest: blob.digest }]);
      await ledger.objects.remove("shop", "key");
      expect(await ledger.garbage.mark()).toEqual([
        ownGarbage(blob.digest),
        { store: REGISTRY, app: "other", digest: blob.digest },
        { store: REGISTRY, app: "shop", digest: blob.digest },
      ]);
    },
  );

  sentence(
    "what a stopped move has left in its target goes, and what it has read from stays",
    async (ledger) => {
      const blob = await stored(ledger, "shop", "blob");
      await ledger.objects.put("shop", "key", blob);
      await lease(ledger, async (id) => {
        expect(await ledger.content.claim(id, "shop", blob.digest, REGISTRY)).toBe(true);
        expect(await ledger.garbage.mark()).toEqual([]);
      });
      const left = await ledger.garbage.mark();
      expect(left).toEqual([{ store: REGISTRY, app: "shop", digest: blob.digest }]);
      expect(await lease(ledger, (id) => ledger.content.claim(id, "shop", blob.digest, REGISTRY))).toBe(
        false,
      );
      await ledger.garbage.forget(left);
      expect(await ledger.content.has("shop", blob)).toBe(true);
      expect(await ledger.garbage.mark()).toEqual([]);
    },
  );

  sentence("a lease that ends says what it left, and one that was cut stays for a day", async (_, box) => {
    let time = Date.UTC(2026, 0, 1);
    const ledger = await box.open(() => new Date(time));
    const { leases } = ledger.content;
    await leases.open("import shop 1");
    await ledger.content.claim("import shop 1", "shop", describe("unfinished").digest);
    await leases.keep("import shop 1");
    expect(await leases.cut("shop")).toEqual(["import shop 1"]);
    expect(await leases.abandoned()).toEqual([]);
    time += 25 * HOUR;
    expect(await leases.abandoned()).toEqual(["import shop 1"]);
    expect(await leases.close("import shop 1")).toBe(1);
    expect(await ledger.garbage.mark()).toEqual([ownGarbage(describe("unfinished").digest)]);
    await ledger.close();
  });

  sentence(
    "an upload is its principal's, in its app, for a day, and there are only so many",
    async (_, box) => {
      let time = Date.UTC(2026, 0, 1);
      const ledger = await box.open(() => new Date(time));
      const { registry } = ledger;
      const mine = { app: "shop", principal: "me", store: "r.example/team" };
      expect(await registry.beginUpload({ ...mine, id: "1" }, 2)).toBe(true);
      expect(await registry.beginUpload({ ...mine, id: "2" }, 2)).toBe(true);
      expect(await registry.beginUpload({ ...mine, id: "3" }, 2)).toBe(false);
      expect(await registry.upload("1", "shop", "me")).toEqual({ ...mine, id: "1" });
      expect(await registry.upload("1", "shop", "you")).toBeUndefined();
      expect(await registry.upload("1", "other", "me")).toBeUndefined();
      await registry.notesOf("1").keep("http://r.example/upload/1");
      expect(await registry.notesOf("1").left()).toBe("http://r.example/upload/1");
      await registry.endUpload("1");
      expect(await registry.upload("1", "shop", "me")).toBeUndefined();
      expect([...(await registry.sweepUploads())]).toEqual(["2"]);
      time += 25 * HOUR;
      expect([...(await registry.sweepUploads())]).toEqual([]);
      await ledger.close();
    },
  );

  sentence("objects are found by key and prefix, and sources no build came for expire", async (_, box) => {
    let time = Date.UTC(2026, 0, 1);
    const ledger = await box.open(() => new Date(time));
    const file = await stored(ledger, "shop", "file");
    for (const key of ["tmp/a", "tmp/b", "build/B/logs", "Tmp/c"])
      await ledger.objects.put("shop", key, file);
    await ledger.objects.put("shop", "tmp/a", file);
    expect(await ledger.objects.keys("shop", "tmp/")).toEqual(["tmp/a", "tmp/b"]);
    expect(await ledger.objects.find("shop", "tmp/a")).toEqual({ digest: file.digest, size: file.size });
    time += 25 * HOUR;
    await ledger.objects.expire();
    expect(await ledger.objects.keys("shop", "")).toEqual(["Tmp/c", "build/B/logs"]);
    await ledger.close();
  });

  sentence(
    "what is set is sealed, comes back, and is made once where it is a secret",
    async (ledger, box) => {
      using dir = tempDir();
      const other = await box.open();
      const seal = await Seal.open(dir.join("key"), undefined);
      const [mine, theirs] = [ledger.settings(seal), other.settings(seal)];
      const [a, b] = await Promise.all([mine.secret("jwt"), theirs.secret("jwt")]);
      expect(a).toBe(b);
      await mine.setParams({ One: "1", Two: "2" });
      await mine.setParams({ One: "", Two: "deux" });
      expect(await theirs.params()).toEqual({ Two: "deux" });
      await mine.addRegistry({ server: "r.example", username: "u", password: "hunter2hunter2" });
      await mine.addRegistry({ server: "r.example", username: "v", password: "hunter3hunter3" });
      expect(await theirs.registries()).toEqual([
        { server: "r.example", username: "v", password: "hunter3hunter3" },
      ]);
      await mine.setConfig("shop", "nginx", "worker 1;");
      expect(await theirs.config("shop", "nginx")).toBe("worker 1;");
      await theirs.removeRegistry("r.example");
      await expect(mine.removeRegistry("r.example")).rejects.toThrow("no such registry");
      await other.close();
    },
  );

  sentence("nothing is sealed with a key that is not the rack's any more", async (ledger) => {
    using dir = tempDir();
    const [old, fresh] = [
      await Seal.open(dir.join("old"), undefined),
      await Seal.open(dir.join("new"), undefined),
    ];
    await ledger.setFact("key", old.id);
    const settings = ledger.settings(old);
    await settings.setParams({ One: "1" });
    await ledger.setFact("key", fresh.id);
    const late = [
      () => settings.setParams({ One: "2" }),
      () => settings.secret("jwt"),
      () => settings.setConfig("shop", "nginx", "worker 1;"),
      () => settings.addRegistry({ server: "r.example", username: "u", password: "hunter2hunter2" }),
      async () => {
        const env = await old.seal("A=1", "releases/RABCDEFGHIJ/env");
        const release = { id: "RABCDEFGHIJ", env, manifest: "", description: "", parent: "" };
        await ledger.releases.create("shop", "", release);
      },
    ];
    for (const write of late) await expect(write()).rejects.toThrow("the rack's key was changed meanwhile");
    expect(await ledger.releases.list("shop", 10)).toEqual([]);
    await ledger.settings(fresh).setParams({ Two: "2" });
  });

  sentence("what a commit owes is owed until it is done as it is now", async (ledger) => {
    const { duties } = ledger;
    expect(await duties.list()).toEqual([]);
    await duties.owe("routes");
    const before = await duties.find("routes");
    if (!before) throw new Error("it is owed");
    await duties.failed(before, "nobody answers");
    expect(await duties.find("routes")).toMatchObject({ tried: before.mark, problem: "nobody answers" });
    await duties.owe("routes");
    await duties.done(before);
    const after = await duties.find("routes");
    if (!after) throw new Error("it is owed again");
    expect(after.mark).not.toBe(before.mark);
    await duties.done(after);
    await remove(ledger, "shop");
    expect((await duties.list()).map(({ name }) => name)).toEqual(["collect", "directory", "routes"]);
  });

  sentence("a deletion is one process's, and whoever takes it over goes on with it", async (ledger) => {
    const { promotions } = ledger;
    const deletion = await promotions.beginRemoval("shop");
    expect((await ledger.apps.find("shop")).status).toBe("deleting");
    for (const begun of [
      () => promotions.beginRemoval("shop"),
      () => ledger.builds.start({ ...blank, id: newId("B"), app: "shop" }),
      () => ledger.apps.update("shop", { locked: true }),
    ])
      await expect(begun()).rejects.toThrow("app shop is being deleted");
    await promotions.leave(deletion, "the engine is gone");
    const taken = await promotions.take("shop");
    if (!taken) throw new Error("nobody has it");
    expect(taken.phase).toBe("deleting");
    await expect(promotions.remove(deletion)).rejects.toThrow("another davit has taken over");
    await promotions.remove(taken);
    await expect(ledger.apps.find("shop")).rejects.toThrow("app not found");
  });

  sentence("facts that change with a promotion change back with it", async (ledger) => {
    const release = { id: newId("R"), env: "", manifest: "services: {web: {}}", description: "", parent: "" };
    await ledger.releases.create("shop", "", release);
    const { promotions, appFacts } = ledger;
    const scale = () =>
      Promise.all([appFacts.known("shop", "scale web"), appFacts.known("shop", "scale api")]);
    await appFacts.set("shop", "scale web", "1");
    const change = { "scale web": "2", "scale api": "3" };
    const promotion = await promotions.begin("shop", release.id, change);
    expect(await scale()).toEqual(["2", "3"]);
    await promotions.revert(promotion, "it is not well");
    expect(await scale()).toEqual(["1", undefined]);
    await promotions.end(promotion, "");
    const second = await promotions.begin("shop", release.id, change);
    await promotions.leave(second, "its davit is gone");
    expect(await scale()).toEqual(["2", "3"]);
    const taken = await promotions.take("shop");
    if (!taken) throw new Error("nobody has it");
    expect(await scale()).toEqual(["1", undefined]);
    await promotions.end(taken, "");
    await promotions.end(await promotions.begin("shop", release.id, change), release.id);
    expect(await scale()).toEqual(["2", "3"]);
  });

  sentence(
    "a build whose process is gone reads as failed before anybody has written that",
    async (_, box) => {
      let time = Date.UTC(2026, 0, 1);
      const ledger = await box.open(() => new Date(time));
      const { builds } = ledger;
      const { id } = await builds.create({ ...blank, id: newId("B"), app: "shop" }, time + HOUR);
      expect((await builds.find("shop", id)).status).toBe("created");
      time += 2 * HOUR;
      const failed = { status: "failed", reason: "the davit that ran it was stopped" };
      expect(await builds.find("shop", id)).toMatchObject(failed);
      expect(await builds.list("shop", 10)).toMatchObject([failed]);
      await builds.failAbandoned();
      expect(await builds.find("shop", id)).toMatchObject(failed);
      await ledger.close();
    },
  );

  sentence("events come newest first, a grant lasts as long as its build", async (ledger) => {
    for (const action of ["one", "two"])
      await ledger.events.add({ actor: "me", action, status: "success", error: "", data: { app: "shop" } });
    expect((await ledger.events.list(10)).map(({ action }) => action)).toEqual(["two", "one"]);
    const build = { ...blank, id: newId("B"), app: "shop" };
    const { id } = await ledger.builds.create(build, Date.now() + HOUR, "hash");
    expect(await ledger.builds.grants.find("hash")).toEqual({ app: "shop", build: id });
    await ledger.builds.fail(id, "given up");
    expect(await ledger.builds.grants.find("hash")).toBeUndefined();
  });

  sentence(
    "one promotion of an app at a time is on record, and can be cancelled until it ends",
    async (ledger) => {
      const release = {
        id: newId("R"),
        env: "",
        manifest: "services: {web: {}}",
        description: "",
        parent: "",
      };
      await ledger.releases.create("shop", "", {
        ...release,
        parent: (await ledger.releases.newest("shop"))?.id ?? "",
      });
      const { promotions } = ledger;
      await expect(promotions.cancel("shop")).rejects.toThrow("app is not updating");
      const promotion = await promotions.begin("shop", release.id);
      await expect(promotions.begin("shop", release.id)).rejects.toThrow("app is currently updating");
      expect((await ledger.apps.find("shop")).status).toBe("updating");
      expect(await promotions.abandoned()).toEqual([]);
      expect(await promotions.take("shop")).toBeUndefined();
      expect(await promotions.renew(promotion)).toBe("on");
      await promotions.cancel("shop");
      expect(await promotions.renew(promotion)).toBe("cancelled");
      await promotions.revert(promotion, "it is not well");
      expect(await ledger.appFacts.known("shop", "unpromoted")).toBe("it is not well");
      await expect(promotions.cancel("shop")).rejects.toThrow("app is not updating");
      await promotions.leave(promotion, "nor is what ran before");
      const taken = await promotions.take("shop");
      if (!taken) throw new Error("nobody has it");
      expect(taken).toMatchObject({ app: "shop", release: release.id, phase: "reverting" });
      // The one that had it has it no longer, also where both are of one process.
      expect(await promotions.renew(promotion)).toBe("lost");
      expect(await promotions.renew(taken)).toBe("on");
      await expect(promotions.revert(promotion, "")).rejects.toThrow("another davit has taken over");
      await expect(promotions.end(promotion, release.id)).rejects.toThrow("another davit has taken over");
      await promotions.end(taken, release.id);
      expect(await ledger.apps.find("shop")).toMatchObject({ status: "running", release: release.id });
      expect(await promotions.abandoned()).toEqual([]);
    },
  );

  sentence("one leads until its time is up, and who lost the lead changes nothing", async (_, box) => {
    let time = Date.UTC(2026, 0, 1);
    const ledger = await box.open(() => new Date(time));
    const first = await ledger.leaders.take("collector", "one", 60_000);
    if (!first) throw new Error("nobody else leads");
    expect(await ledger.leaders.take("collector", "two", 60_000)).toBeUndefined();
    await ledger.leaders.renew(first, 60_000);
    time += 60_001;
    const second = await ledger.leaders.take("collector", "two", 60_000);
    expect(second?.number).toBe(first.number + 1);
    await expect(ledger.leaders.renew(first, 60_000)).rejects.toThrow("another process has taken over");
    await expect(ledger.garbage.mark(first)).rejects.toThrow("another process has taken over");
    await ledger.leaders.release(first);
    expect(await ledger.leaders.take("collector", "three", 60_000)).toBeUndefined();
    expect(await ledger.garbage.mark(second)).toEqual([]);
    await ledger.close();
  });
}

async function remove(ledger: Ledger, app: string): Promise<void> {
  await ledger.promotions.remove(await ledger.promotions.beginRemoval(app));
}

const blank: NewBuild = { id: "", app: "", description: "", gitSha: "", wildcardDomain: false };

function ownGarbage(digest: Digest): Garbage {
  return { store: OWN, app: "", digest };
}

function describe(text: string, size = text.length): Descriptor {
  return { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(new TextEncoder().encode(text)), size };
}

async function lease<T>(ledger: Ledger, work: (id: string) => Promise<T>): Promise<T> {
  const id = crypto.randomUUID();
  await ledger.content.leases.open(id);
  const result = await work(id);
  await ledger.content.leases.close(id);
  return result;
}

/** A blob of an app; its bytes are nobody's business here. */
async function stored(ledger: Ledger, app: string, text: string, size?: number): Promise<Descriptor> {
  const descriptor = describe(text, size);
  await lease(ledger, (id) => ledger.content.add(app, descriptor, id));
  return descriptor;
}

function release() {
  return { id: newId("R"), env: "", manifest: "services: {}\n", description: "", parent: "" };
}

async function finished(ledger: Ledger, id: string, app: string): Promise<FinishedBuild> {
  const [index, log, image] = [
    await stored(ledger, app, `index ${id}`),
    await stored(ledger, app, `log ${id}`),
    await stored(ledger, app, `image ${id}`),
  ];
  const tags = [{ name: `web.${id}`, descriptor: image }];
  return {
    id,
    app,
    index,
    log,
    tags,
    entrypoint: "",
    engine: "test",
    ended: new Date().toISOString(),
    release: release(),
  };
}

async function startedBuild(ledger: Ledger, app: string): Promise<FinishedBuild> {
  const { id } = await ledger.builds.start({ ...blank, id: newId("B"), app });
  return await finished(ledger, id, app);
}

async function imported(ledger: Ledger, parent: string) {
  const build = { ...blank, id: newId("B"), app: "shop" };
  const done = await finished(ledger, build.id, "shop");
  return { build, done: { ...done, release: { ...done.release, parent } } };
}
