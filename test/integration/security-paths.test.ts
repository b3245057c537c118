import { expect, test } from "bun:test";
import { symlink, writeFile } from "node:fs/promises";
import { collect, decode, encode, streamOf } from "../../src/bytes.ts";
import { type NewEntry, writeTar } from "../../src/tar/write.ts";
import { startRack } from "../support/convox.ts";
import { sandbox, sh } from "../support/davit.ts";
import { repository, serveHttps } from "../support/git-server.ts";

/* Whoever has a deploy key names files of the server in every way there is, and gets none. */

const LONG = 60_000;
const SECRET = "services-of-the-password-5f1c";
const YML = "services:\n  web:\n    build: .\n";
const OUTSIDE = [
  "../../password",
  "../../key",
  "../../ledger.db",
  "../../ledger.db-shm",
  "../../../../secret",
];
const NO_ENGINE = "unix:///nonexistent.sock";

/** A rack with an app and a key for it; secrets lie where its server could read them. */
async function attacked(env: Record<string, string> = {}, from = "") {
  const box = sandbox();
  await box.ok(["apps", "create", "evil"]);
  await box.ok(["rack", "params", "set", "BuildFromUrls=Yes", `ImportFrom=${from}`]);
  const key = (await box.ok(["rack", "token", "--for-app", "evil"])).trim();
  await writeFile(box.join("home/racks/local/password"), `${SECRET}\n`);
  await writeFile(box.join("secret"), `${SECRET}\n`);
  const rack = await startRack(box, "local", undefined, [], { DOCKER_HOST: NO_ENGINE, ...env });
  const authorization = `Basic ${Buffer.from(`jwt:${key}`).toString("base64")}`;
  const ask = async (path: string, init: RequestInit = {}): Promise<Response> =>
    await fetch(`${rack.url}${path}`, { ...init, headers: { authorization } });
  return {
    ...{ box, rack, ask, keyUrl: rack.at(`jwt:${key}`) },
    [Symbol.asyncDispose]: async () => {
      await rack[Symbol.asyncDispose]();
      box[Symbol.dispose]();
    },
  };
}
type Attacked = Awaited<ReturnType<typeof attacked>>;

/** A build's reason, after all that can be read of it was looked through. */
async function build({ ask, box }: Attacked, fields: Record<string, string>): Promise<string> {
  const made = await ask("/apps/evil/builds", { method: "POST", body: new URLSearchParams(fields) });
  const text = await made.text();
  if (made.status !== 200) return text;
  const { id } = JSON.parse(text);
  return await ended({ ask, box }, id);
}

async function ended({ ask, box }: Pick<Attacked, "ask" | "box">, id: string): Promise<string> {
  for (let tries = 0; tries < 300; tries++) {
    const seen = await (await ask(`/apps/evil/builds/${id}`)).text();
    const { status, reason, manifest } = JSON.parse(seen);
    if (status === "failed") {
      const log = await (await ask(`/apps/evil/objects/build/${id}/logs`)).text();
      for (const shown of [seen, log]) {
        expect(shown).not.toContain(SECRET);
        expect(shown).not.toContain(box.path);
      }
      expect([YML, "", undefined]).toContain(manifest?.replace(/build: .*/s, "build: .\n"));
      return reason;
    }
    await Bun.sleep(50);
  }
  throw new Error(`build ${id} did not end`);
}

function file(name: string, text: string): NewEntry {
  return { name, type: "file", size: text.length, body: () => streamOf(encode(text)) };
}

/** Builds what these entries unpack to. */
async function buildTar(server: Attacked, entries: NewEntry[], more: Record<string, string> = {}) {
  const tar = await collect(writeTar(entries), 10_000_000, "the source");
  await server.ask("/apps/evil/objects/tmp/source.tar", { method: "POST", body: tar });
  return await build(server, { url: "object://evil/tmp/source.tar", ...more });
}

const LEADS_OUT = /leads out of/;

test(
  "the field `manifest` names files of the project alone, and what is there is not told from what is not",
  async () => {
    await using server = await attacked();
    const entries = [file("convox.yml", YML), file("Dockerfile", "FROM scratch\n")];
    for (const manifest of [
      ...OUTSIDE,
      ...["/etc/passwd", "/dev/zero", "/proc/self/environ", "../../nowhere"],
      ...["./../../password", "a/../../../password", "..//..//password"],
    ])
      expect(await buildTar(server, entries, { manifest })).toMatch(
        /leads out of|it is not there|no such file/,
      );
    expect(await buildTar(server, entries, { manifest: `${"x/".repeat(2500)}y` })).toContain("too long");
    expect(await buildTar(server, entries, { manifest: "convox.yml\0" })).toContain("NUL");
    const there = await buildTar(server, entries, { manifest: "../../password" });
    const absent = await buildTar(server, entries, { manifest: "../../passwort" });
    expect(absent.replace("passwort", "password")).toBe(there);
    // A text is kept when it is a convox.yml, and not before.
    expect(await buildTar(server, [file("convox.yml", `${SECRET}: [`)])).toMatch(
      /^Cannot use convox.yml: line/,
    );
    expect(await buildTar(server, entries)).toMatch(/Cannot reach a Docker Engine/);
  },
  LONG,
);

test(
  "directories and Dockerfiles of a convox.yml stay in the project, and tell nothing of what is outside",
  async () => {
    await using server = await attacked();
    const reason = async (build: string) =>
      await buildTar(server, [
        file("convox.yml", `services:\n  web:\n    build: ${build}\n`),
        file("Dockerfile", "FROM scratch\n"),
        file("sub/Dockerfile", "FROM scratch\n"),
        file("big", "#".repeat(1024 * 1024 + 1)),
      ]);
    for (const path of ["..", "../..", "sub/../../..", "/", "/etc", "'../../layout'"])
      expect(await reason(path)).toMatch(LEADS_OUT);
    for (const name of [...OUTSIDE, "/etc/passwd", "/dev/zero", "../../nowhere", "../../layout/"])
      expect(await reason(`{ path: sub, manifest: '${name}' }`)).toMatch(LEADS_OUT);
    expect(await reason("{ path: sub, manifest: ../Dockerfile }")).toMatch(LEADS_OUT);
    expect(await reason("{ manifest: big }")).toContain("it has more than 1024 KiB");
    expect(await reason("{ manifest: sub }")).toContain("it is a directory");
    expect(await reason("sub")).toMatch(/Cannot reach a Docker Engine/);
  },
  LONG,
);

const links: Record<string, [name: string, target: string][]> = {
  "convox.yml": [["convox.yml", "../../password"]],
  "a Dockerfile": [["Dockerfile", "/etc/passwd"]],
  "an ignore file": [[".dockerignore", "../../../../secret"]],
  "a Dockerfile's own ignore file": [["Dockerfile.dockerignore", "../../key"]],
  "a device": [["Dockerfile", "/dev/zero"]],
  "this process": [["convox.yml", "/proc/self/environ"]],
  "the ledger": [["convox.yml", "../../ledger.db"]],
  "the build's directory": [["app", "../.."]],
  "the build's directory, through another": [
    ["up", ".."],
    ["app", "up/.."],
  ],
};

/** A project with these links in the place of its files. */
async function projectWith(dir: string, pairs: readonly (readonly string[])[]): Promise<void> {
  const isLink = (name: string): boolean => pairs.some(([link]) => link === name);
  await sh(["mkdir", "-p", dir]);
  if (!isLink("convox.yml"))
    await writeFile(`${dir}/convox.yml`, `services:\n  web:\n    build: ${isLink("app") ? "app" : "."}\n`);
  if (!isLink("Dockerfile")) await writeFile(`${dir}/Dockerfile`, "FROM scratch\n");
  for (const [link = "", target = ""] of pairs) await symlink(target, `${dir}/${link}`);
}

test(
  "links of a git repository are followed inside it only",
  async () => {
    using there = sandbox();
    await using git = await serveHttps(there, "me:pw");
    await using server = await attacked({ GIT_SSL_CAINFO: git.cert }, git.host);
    let count = 0;
    for (const [what, pairs] of Object.entries(links)) {
      const [name, dir] = [`r${++count}`, there.join(`source${count}`)];
      await projectWith(dir, pairs);
      await repository(there, name, dir);
      const url = `https://me:pw@${git.host}/${name}.git`;
      expect([what, await build(server, { url })]).toEqual([what, expect.stringMatching(LEADS_OUT)]);
      // The same address, fetched by the command on the user's own machine.
      const mine = await there.run(["build", url, "-a", "evil"], {
        env: { DOCKER_HOST: NO_ENGINE, GIT_SSL_CAINFO: git.cert },
      });
      expect([what, mine.code, mine.stderr]).toEqual([what, 1, expect.stringMatching(LEADS_OUT)]);
    }
    const dir = there.join("good");
    await sh(["mkdir", "-p", `${dir}/conf`]);
    await writeFile(`${dir}/conf/convox.yml`, YML);
    await writeFile(`${dir}/conf/Dockerfile`, "FROM scratch\n");
    await symlink("conf/convox.yml", `${dir}/convox.yml`);
    await symlink("conf/Dockerfile", `${dir}/Dockerfile`);
    await symlink("/etc/passwd", `${dir}/unread`);
    await repository(there, "good", dir);
    const url = `https://me:pw@${git.host}/good.git`;
    expect(await build(server, { url })).toMatch(/Cannot reach a Docker Engine/);
  },
  LONG,
);

test(
  "a clone of a hostile repository is built, checked and sent with its links followed inside it only",
  async () => {
    await using server = await attacked();
    using here = sandbox();
    let count = 0;
    for (const [what, pairs] of Object.entries(links)) {
      const dir = here.join(`a/b/clone${++count}`);
      await projectWith(dir, pairs);
      await writeFile(here.join("a/password"), SECRET);
      for (const env of [{ DOCKER_HOST: NO_ENGINE }, { RACK_URL: server.keyUrl }]) {
        const { code, stderr, stdout } = await here.run(["build", "-a", "evil"], { cwd: dir, env });
        expect([what, code, stderr]).toEqual([what, 1, expect.stringMatching(LEADS_OUT)]);
        expect(stdout + stderr).not.toContain(SECRET);
      }
      const { code, stdout, stderr } = await here.run(["check"], { cwd: dir });
      expect([what, code, stdout + stderr]).toEqual([what, 1, expect.stringMatching(LEADS_OUT)]);
    }
  },
  LONG,
);

test(
  "archives with links that lead out are refused, by whatever way they come",
  async () => {
    using there = sandbox();
    const bytes = (): Blob => Bun.file(there.join("x.zip"));
    const web = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(bytes()) });
    await using server = await attacked({}, `127.0.0.1:${web.port}`);
    const link = { name: "convox.yml", type: "symlink", linkname: "../../password" } as const;
    expect(await buildTar(server, [link])).toMatch(LEADS_OUT);
    await symlink("../../password", there.join("convox.yml"));
    await sh(["zip", "-q", "-y", "x.zip", "convox.yml"], { cwd: there.path });
    expect(await build(server, { url: `http://127.0.0.1:${web.port}/x.zip` })).toMatch(
      /leads out of|^Cannot fetch the source/,
    );
    await web.stop(true);
  },
  LONG,
);

test(
  "a server whose ledger was named in every way keeps its locks: nothing that it acknowledged is lost",
  async () => {
    await using server = await attacked();
    const { box, rack, ask } = server;
    const yml = (build: string) => [
      file("convox.yml", `services:\n  web:\n    build: ${build}\n`),
      file("Dockerfile", "FROM scratch\n"),
    ];
    for (const name of ["ledger.db", "ledger.db-shm", "ledger.db-wal", "lock.db", "server-lock.db"]) {
      await buildTar(server, yml("."), { manifest: `../../${name}` });
      await buildTar(server, yml(`{ manifest: ../../${name} }`));
      await ask(`/apps/evil/objects/${encodeURIComponent(`../../../${name}`)}`);
      await ask(`/apps/evil/builds/${encodeURIComponent(`../../${name}`)}`);
    }
    expect(await lockedBy(rack.pid, box.join("home/racks/local/ledger.db"))).toBe(true);
    expect(await lockedBy(rack.pid, box.join("home/racks/local/ledger.db-shm"))).toBe(true);
    await box.ok(["apps", "create", "by-command"]);
    await box.ok(["apps"]);
    const made = await fetch(`${rack.rackUrl}/apps`, {
      method: "POST",
      body: new URLSearchParams({ name: "acknowledged" }),
    });
    expect(made.status).toBe(200);
    await rack.kill("SIGKILL");
    const names = (await box.json(["apps"])).map((app: { name: string }) => app.name);
    expect(names).toEqual(["acknowledged", "by-command", "evil"]);
  },
  LONG,
);

/** Whether a process holds a lock on a file. */
async function lockedBy(pid: number, path: string): Promise<boolean> {
  const inode = (await sh(["stat", "-c", "%i", path])).trim();
  const locks = decode(new Uint8Array(await Bun.file("/proc/locks").arrayBuffer()));
  return locks.split("\n").some((line) => line.includes(` ${pid} `) && line.includes(`:${inode} `));
}
