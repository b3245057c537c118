import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, run, type Steps } from "./steps.ts";

/** A host name of a service, beside the one that the router makes of the service's and the app's names. */
export interface Domain {
  /** In lower case; `*.` may stand for its first part. */
  name: string;
  service: string;
  /** Whether davit made it of the service's name. Then other apps may have names below it, which come before it. */
  generated: boolean;
}

/** A name that an app wants and another app, `owner`, has. */
export interface Taken extends Domain {
  owner: string;
}

const DomainRow = Type.Object({ name: Type.String(), app: Type.String() });
type DomainRow = Static<typeof DomainRow>;

/** How long a claim is kept before its promotion is on record, in milliseconds. */
const BEGINNING = 5000;

/** Which app has which host name: the first that claims it. An app loses a name when it is deleted, or when none of its releases names it any more. */
export class DomainLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /** Every name with its app. */
  async list(): Promise<DomainRow[]> {
    return (await this.#db.read(() => all("SELECT name, app FROM domains ORDER BY name"))).map(rowOf);
  }

  /** The wanted names that another app has, that another's wildcard includes, or that are wildcards which include another's. */
  async taken(app: string, wanted: readonly Domain[]): Promise<Taken[]> {
    return await this.#db.read(() => takenBy(app, wanted));
  }

  /** Claims all names, or none where another app has one. Returns those that are taken. */
  async claim(app: string, wanted: readonly Domain[]): Promise<Taken[]> {
    if (wanted.length === 0) return [];
    const claimed = this.#now();
    return await this.#db.write(function* () {
      const taken = yield* takenBy(app, wanted);
      if (taken.length > 0) return taken;
      for (const { name, service, generated } of wanted)
        yield* run(
          `INSERT INTO domains (name, parent, app, service, generated, claimed) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (name) DO UPDATE SET service = excluded.service, claimed = excluded.claimed`,
          ...[name, parentOf(name), app, service, generated ? 1 : 0, claimed],
        );
      return [];
    });
  }

  /** The releases of an app that keep names: the one that runs, and the one on its way; sorted. */
  async releases(app: string): Promise<string[]> {
    return await this.#db.read(() => releasesOf(app));
  }

  /** Frees all of an app's names but `names`, unless its releases are not `releases` any more. */
  async keep(app: string, releases: readonly string[], names: readonly string[]): Promise<void> {
    const before = this.#now() - BEGINNING;
    await this.#db.write(function* () {
      if ((yield* releasesOf(app)).join() !== releases.join()) return;
      const rows = yield* all("SELECT name, app FROM domains WHERE app = ? AND claimed < ?", app, before);
      for (const { name } of rows.map(rowOf))
        if (!names.includes(name)) yield* run("DELETE FROM domains WHERE name = ?", name);
    });
  }
}

function* takenBy(app: string, wanted: readonly Domain[]): Steps<Taken[]> {
  const found: Taken[] = [];
  for (const domain of wanted) {
    const { name, generated } = domain;
    const wild = name.startsWith("*.") ? "" : "AND name = '*.' || parent";
    const near = generated ? "" : `OR (parent = ?3 AND generated = 0 ${wild})`;
    const rows = yield* all(
      `SELECT name, app FROM domains WHERE app <> ?1 AND (name = ?2 ${near}) ORDER BY name LIMIT 1`,
      ...[app, name, ...(generated ? [] : [parentOf(name)])],
    );
    found.push(...rows.map((row) => ({ ...domain, owner: rowOf(row).app })));
  }
  return found;
}

function* releasesOf(app: string): Steps<string[]> {
  const rows = yield* all(
    "SELECT release AS name, name AS app FROM apps WHERE name = ?1 UNION SELECT release, app FROM promotions WHERE app = ?1",
    app,
  );
  return rows
    .map((row) => rowOf(row).name)
    .filter((release) => release !== "")
    .sort();
}

/** What follows the first part of a name. */
function parentOf(name: string): string {
  return name.slice(name.indexOf(".") + 1);
}

function rowOf(row: unknown): DomainRow {
  return check(DomainRow, row, "the ledger's domains");
}
