import type { Env } from "../docker-api/host.ts";
import { BuildkitEngine } from "./buildkit-engine.ts";
import type { BuiltImage, Engine, EngineBuild, ImageTarget } from "./engine.ts";

interface Member {
  engine: BuildkitEngine;
  running: number;
}

const pools = new Map<string, Member[]>();

/**
 * Several buildkitds as one engine for an app: its builds go to the same one, whose cache knows
 * them, unless another has less to do.
 */
export class BuildkitPool implements Engine {
  readonly #members: Member[];
  readonly #first: number;

  /** `addresses` are joined with commas. All builds of this process are counted, whichever app they are of. */
  constructor(addresses: string, app: string, env: Env) {
    const members =
      pools.get(addresses) ??
      addresses
        .split(",")
        .map((address) => ({ engine: new BuildkitEngine(address.trim(), env), running: 0 }));
    pools.set(addresses, members);
    this.#members = members;
    this.#first = Number(Bun.hash.crc32(app)) % members.length;
  }

  describe(): Promise<string> {
    return this.#choose().engine.describe();
  }

  async build(build: EngineBuild, target: ImageTarget): Promise<BuiltImage> {
    const member = this.#choose();
    member.running++;
    try {
      return await member.engine.build(build, target);
    } finally {
      member.running--;
    }
  }

  async take(): Promise<undefined> {
    return undefined;
  }

  #choose(): Member {
    const ordered = [...this.#members.slice(this.#first), ...this.#members.slice(0, this.#first)];
    return ordered.reduce((best, member) => (member.running < best.running ? member : best));
  }
}
