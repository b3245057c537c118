import { hasCode } from "../errors.ts";
import { describeChange, parseEnv } from "./env-text.ts";
import { newId, type RandomSource } from "./ids.ts";
import type { Ledger } from "./ledger.ts";
import type { NewRelease, Release } from "./rack.ts";
import type { SealedRelease } from "./release-ledger.ts";
import type { ReleaseRow } from "./rows.ts";
import type { Seal } from "./seal.ts";

/** Another process may make a release between our look and our write; then we look again. */
const TRIES = 20;

/** Makes and reads releases: their env is sealed at rest, and inherited from the newest one. */
export class Releases {
  readonly #ledger: Ledger;
  readonly #seal: Seal;
  readonly #random: RandomSource;

  constructor(ledger: Ledger, seal: Seal, random: RandomSource) {
    this.#ledger = ledger;
    this.#seal = seal;
    this.#random = random;
  }

  async read(row: ReleaseRow): Promise<Release> {
    const { id, app, build, manifest, description, created } = row;
    return { id, app, build, env: await this.#open(row), manifest, description, created };
  }

  /** The env the app's next build or release inherits. */
  async currentEnv(app: string): Promise<Record<string, string>> {
    const newest = await this.#ledger.releases.newest(app);
    return newest ? parseEnv(await this.#open(newest)) : {};
  }

  /** Gives `commit` a release with the newest env, again if another release got in between. */
  async inherit(
    app: string,
    manifest: string,
    description: string,
    commit: (release: SealedRelease) => Promise<void>,
  ): Promise<void> {
    await this.inheritAll(app, [{ manifest, description }], async ([release]) => {
      if (release) await commit(release);
    });
  }

  /** The same for several releases that come one after the other. */
  async inheritAll<T>(
    app: string,
    wanted: readonly { manifest: string; description: string }[],
    commit: (releases: SealedRelease[]) => Promise<T>,
  ): Promise<T> {
    return await this.#retry(async () => {
      const newest = await this.#ledger.releases.newest(app);
      const env = newest ? await this.#open(newest) : "";
      const releases: SealedRelease[] = [];
      for (const { manifest, description } of wanted)
        releases.push(await this.#make(env, manifest, description, releases.at(-1)?.id ?? newest?.id ?? ""));
      return await commit(releases);
    });
  }

  /**
   * Starts from `parent`, else the newest release; a build brings its description
   * and manifest along, an env that differs describes itself; an explicit description wins.
   */
  async create(app: string, wanted: NewRelease): Promise<Release> {
    return await this.#retry(async () => {
      const newest = await this.#ledger.releases.newest(app);
      const parent =
        wanted.parent === undefined ? newest : await this.#ledger.releases.find(app, wanted.parent);
      const before = parent ? await this.#open(parent) : "";
      const build = wanted.build ?? parent?.build ?? "";
      const built = build === "" ? undefined : await this.#ledger.builds.find(app, build);
      const env = wanted.env ?? before;
      const change = wanted.env === undefined ? "" : describeChange(parseEnv(before), parseEnv(env));
      const inherited = wanted.build === undefined ? (parent?.description ?? "") : (built?.description ?? "");
      const description = wanted.description ?? (change || inherited);
      const release = await this.#make(
        env,
        built?.manifest ?? parent?.manifest ?? "",
        description,
        newest?.id ?? "",
      );
      await this.#ledger.releases.create(app, build, release);
      return await this.read(await this.#ledger.releases.find(app, release.id));
    });
  }

  async #make(env: string, manifest: string, description: string, parent: string): Promise<SealedRelease> {
    const id = newId("R", this.#random);
    return {
      id,
      env: env === "" ? "" : await this.#seal.seal(env, place(id)),
      manifest,
      description,
      parent,
    };
  }

  async #open(row: ReleaseRow): Promise<string> {
    return row.env === "" ? "" : await this.#seal.open(row.env, place(row.id));
  }

  async #retry<T>(attempt: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (!hasCode(error, "outdated") || tries >= TRIES) throw error;
      }
    }
  }
}

function place(id: string): string {
  return `releases/${id}/env`;
}
