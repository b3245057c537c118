import { DavitError } from "../errors.ts";

/**
 * The ledger's tables. Migrations only add: an older davit can still read what
 * it knows, down to the version that `min_reader` names.
 */
export const SCHEMA = 10;
export const MIN_READER = 10;

export function tooNew(name: string): DavitError {
  return new DavitError("unsupported", `Cannot open ${name}: it was written by a newer davit`, {
    hint: "update this davit",
  });
}

/**
 * A migration in PostgreSQL's words. Text is ordered by its bytes, as SQLite does.
 * Whole numbers are doubles, exact up to 2^53: Bun hands out BIGINTs as text.
 */
export function forPostgres(migration: string): string {
  return migration
    .replaceAll(/\bINTEGER\b/g, "DOUBLE PRECISION")
    .replaceAll(/\bTEXT\b/g, 'TEXT COLLATE "C"')
    .replaceAll(/\) STRICT;/g, ");");
}

/** `migrations[n]` brings a ledger from version n to n + 1. */
export const migrations: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

  CREATE TABLE apps (
    name TEXT PRIMARY KEY, generation TEXT NOT NULL DEFAULT '3', status TEXT NOT NULL DEFAULT 'running',
    locked INTEGER NOT NULL DEFAULT 0, release TEXT NOT NULL DEFAULT '', parameters TEXT NOT NULL DEFAULT '{}',
    created TEXT NOT NULL
  ) STRICT;

  CREATE TABLE builds (
    id TEXT PRIMARY KEY, app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, seq INTEGER NOT NULL,
    status TEXT NOT NULL, description TEXT NOT NULL DEFAULT '', entrypoint TEXT NOT NULL DEFAULT '',
    git_sha TEXT NOT NULL DEFAULT '', manifest TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    release TEXT NOT NULL DEFAULT '', wildcard_domain INTEGER NOT NULL DEFAULT 0,
    started TEXT NOT NULL, ended TEXT NOT NULL DEFAULT '', engine TEXT NOT NULL DEFAULT '',
    index_digest TEXT NOT NULL DEFAULT '', index_size INTEGER NOT NULL DEFAULT 0,
    log_digest TEXT NOT NULL DEFAULT '', log_size INTEGER NOT NULL DEFAULT 0,
    idempotency_key TEXT, owner TEXT NOT NULL DEFAULT '', lease_until INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX builds_by_app ON builds (app, seq DESC);
  CREATE INDEX builds_running ON builds (status) WHERE status IN ('created', 'running');
  CREATE UNIQUE INDEX builds_by_key ON builds (app, idempotency_key) WHERE idempotency_key IS NOT NULL;

  CREATE TABLE log_chunks (
    build TEXT NOT NULL REFERENCES builds(id) ON DELETE CASCADE, seq INTEGER NOT NULL, bytes TEXT NOT NULL,
    PRIMARY KEY (build, seq)
  ) STRICT;

  CREATE TABLE releases (
    id TEXT PRIMARY KEY, app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, seq INTEGER NOT NULL,
    build TEXT NOT NULL DEFAULT '', env TEXT NOT NULL DEFAULT '', manifest TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '', created TEXT NOT NULL
  ) STRICT;
  CREATE INDEX releases_by_app ON releases (app, seq DESC);

  CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'present') STRICT;
  CREATE TABLE members (app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, digest TEXT NOT NULL,
    PRIMARY KEY (app, digest)) STRICT;
  CREATE TABLE edges (parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)) STRICT;
  CREATE TABLE tags (app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, name TEXT NOT NULL,
    digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (app, name)) STRICT;

  CREATE TABLE leases (id TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL) STRICT;
  CREATE TABLE pins (lease TEXT NOT NULL REFERENCES leases(id) ON DELETE CASCADE, digest TEXT NOT NULL,
    PRIMARY KEY (lease, digest)) STRICT;
  CREATE INDEX pins_by_digest ON pins (digest);

  CREATE TABLE layers (diff_id TEXT PRIMARY KEY, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL) STRICT;
  `,
  // A manifest that was pushed by itself is kept until it is deleted: root = 1. What it is about is its subject.
  `
  CREATE TABLE manifests (
    app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, digest TEXT NOT NULL, media_type TEXT NOT NULL,
    size INTEGER NOT NULL, root INTEGER NOT NULL DEFAULT 0, subject TEXT NOT NULL DEFAULT '',
    entry TEXT NOT NULL DEFAULT '', PRIMARY KEY (app, digest)
  ) STRICT;
  CREATE INDEX manifests_by_subject ON manifests (subject, app) WHERE subject <> '';
  CREATE INDEX manifests_by_digest ON manifests (digest);
  CREATE INDEX edges_by_child ON edges (child);
  CREATE INDEX members_by_digest ON members (digest);
  CREATE INDEX tags_by_digest ON tags (digest);

  CREATE TABLE uploads (
    id TEXT PRIMARY KEY, app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, principal TEXT NOT NULL,
    until INTEGER NOT NULL
  ) STRICT;
  `,
  // Objects are blobs too: an older davit would collect them, so it may not read on from here.
  `
  CREATE TABLE objects (
    app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, key TEXT NOT NULL, digest TEXT NOT NULL,
    size INTEGER NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (app, key)
  ) STRICT;
  CREATE TABLE registries (server TEXT PRIMARY KEY, username TEXT NOT NULL, password TEXT NOT NULL) STRICT;
  CREATE TABLE params (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE configs (
    app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (app, name)
  ) STRICT;
  CREATE TABLE grants (
    hash TEXT PRIMARY KEY, app TEXT NOT NULL, build TEXT NOT NULL REFERENCES builds(id) ON DELETE CASCADE,
    until INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    status TEXT NOT NULL, error TEXT NOT NULL, data TEXT NOT NULL
  ) STRICT;
  `,
  // What is held in a registry must not be looked for here. In `store`, '' is the rack's own pool.
  `
  ALTER TABLE members ADD COLUMN store TEXT NOT NULL DEFAULT '';
  ALTER TABLE members ADD COLUMN reached INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE builds ADD COLUMN store TEXT NOT NULL DEFAULT '';
  ALTER TABLE uploads ADD COLUMN store TEXT NOT NULL DEFAULT '';
  ALTER TABLE uploads ADD COLUMN location TEXT NOT NULL DEFAULT '';
  CREATE TABLE strays (
    store TEXT NOT NULL, app TEXT NOT NULL, digest TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'left',
    PRIMARY KEY (store, app, digest)
  ) STRICT;
  CREATE TABLE leaders (
    name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL, fence INTEGER NOT NULL
  ) STRICT;
  `,
  // While there is a row, what runs of the app is in between two releases.
  `
  CREATE TABLE promotions (
    app TEXT PRIMARY KEY REFERENCES apps(name) ON DELETE CASCADE, before TEXT NOT NULL, release TEXT NOT NULL,
    phase TEXT NOT NULL, owner TEXT NOT NULL, until INTEGER NOT NULL
  ) STRICT;
  `,
  // An app is known by its id, so that nothing of it serves the next app of its name: an older davit
  // would go by the name. What was sealed or kept for an app until now bears its name: that is its id.
  `
  ALTER TABLE apps ADD COLUMN id TEXT NOT NULL DEFAULT '';
  UPDATE apps SET id = name;
  CREATE UNIQUE INDEX apps_by_id ON apps (id);
  CREATE TABLE app_facts (
    app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (app, name)
  ) STRICT;
  INSERT INTO app_facts (app, name, value) SELECT apps.name, 'unpromoted', value
    FROM meta JOIN apps ON key = 'unpromoted ' || apps.name;
  INSERT INTO app_facts (app, name, value) SELECT apps.name, 'scale ' || substr(key, length(apps.name) + 8), value
    FROM meta JOIN apps ON substr(key, 1, length(apps.name) + 7) = 'scale ' || apps.name || '/';
  INSERT INTO app_facts (app, name, value) SELECT apps.name, 'cache ' || substr(key, length(apps.name) + 8), value
    FROM meta JOIN apps ON substr(key, 1, length(apps.name) + 7) = 'cache ' || apps.name || '/';
  DELETE FROM meta WHERE key LIKE 'unpromoted %' OR key LIKE 'scale %' OR key LIKE 'cache %';
  CREATE TABLE former_apps (id TEXT PRIMARY KEY, name TEXT NOT NULL, deleted TEXT NOT NULL) STRICT;
  INSERT INTO former_apps (id, name, deleted) SELECT DISTINCT owner, owner, '' FROM (
    SELECT rtrim(rtrim(substr(name, 11), replace(substr(name, 11), '/', '')), '/') AS owner
    FROM params WHERE name LIKE '.resource/%') AS owners
    WHERE owner NOT IN (SELECT name FROM apps);
  DELETE FROM pins WHERE lease NOT IN (SELECT id FROM leases);
  `,
  // A token is good while it has a row here, which an older davit would not ask for. What stands for some
  // apps only ends with them.
  `
  CREATE TABLE tokens (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, maker TEXT NOT NULL,
    parent TEXT NOT NULL DEFAULT '', created TEXT NOT NULL, expires INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE token_apps (
    token TEXT NOT NULL REFERENCES tokens(id) ON DELETE CASCADE,
    app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, PRIMARY KEY (token, app)
  ) STRICT;
  ALTER TABLE registries ADD COLUMN limited INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE registry_apps (
    server TEXT NOT NULL REFERENCES registries(server) ON DELETE CASCADE,
    app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE, PRIMARY KEY (server, app)
  ) STRICT;
  ALTER TABLE events ADD COLUMN source TEXT NOT NULL DEFAULT 'rack';
  CREATE INDEX events_by_actor ON events (actor, seq);
  `,
  // An older davit noted here what images say of their own layers: only what was hashed may be believed.
  `
  DROP TABLE layers;
  CREATE TABLE layers (
    diff_id TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (diff_id, digest)
  ) STRICT;
  CREATE INDEX layers_by_digest ON layers (digest);
  `,
  // What a commit leaves to be done is on record with it. An older davit would neither note it nor do it, and
  // would take a deletion that was stopped for a promotion.
  `
  CREATE TABLE duties (name TEXT PRIMARY KEY, mark TEXT NOT NULL, tried TEXT NOT NULL DEFAULT '',
    problem TEXT NOT NULL DEFAULT '') STRICT;
  ALTER TABLE promotions ADD COLUMN undo TEXT NOT NULL DEFAULT '{}';
  `,
  // Who has which name, which an older davit would not ask; `parent` is what follows its first part.
  `
  CREATE TABLE domains (
    name TEXT PRIMARY KEY, parent TEXT NOT NULL, app TEXT NOT NULL REFERENCES apps(name) ON DELETE CASCADE,
    service TEXT NOT NULL, generated INTEGER NOT NULL, claimed INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX domains_by_parent ON domains (parent);
  CREATE INDEX domains_by_app ON domains (app);
  `,
];
