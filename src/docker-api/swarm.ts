import { type ByteStream, type Bytes, lines, streamOf } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import { type Static, Type } from "../schema.ts";
import type { EngineClient, EngineRequest } from "./client.ts";
import { encodeHeader, type RegistryAuth } from "./images.ts";
import { frames } from "./multiplexed.ts";

/** https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemInfo */
const Info = Type.Object({
  Architecture: Type.Optional(Type.String()),
  LoggingDriver: Type.Optional(Type.String()),
  Swarm: Type.Optional(
    Type.Object({
      LocalNodeState: Type.Optional(Type.String()),
      ControlAvailable: Type.Optional(Type.Boolean()),
      NodeID: Type.Optional(Type.String()),
    }),
  ),
});

const Version = Type.Object({ Index: Type.Integer() });

/** What we read of a service; what it is to be we write whole. */
export const SwarmService = Type.Object({
  ID: Type.String(),
  Version,
  Spec: Type.Object({
    Name: Type.String(),
    Labels: Type.Optional(Type.Record(Type.String(), Type.String())),
    TaskTemplate: Type.Optional(
      Type.Object({
        Networks: Type.Optional(
          Type.Array(
            Type.Object({ Target: Type.String(), Aliases: Type.Optional(Type.Array(Type.String())) }),
          ),
        ),
      }),
    ),
    Mode: Type.Optional(
      Type.Object({
        Replicated: Type.Optional(Type.Object({ Replicas: Type.Optional(Type.Integer()) })),
      }),
    ),
  }),
  UpdateStatus: Type.Optional(
    Type.Object({ State: Type.Optional(Type.String()), Message: Type.Optional(Type.String()) }),
  ),
});
export type SwarmService = Static<typeof SwarmService>;

export const SwarmTask = Type.Object({
  ID: Type.String(),
  ServiceID: Type.Optional(Type.String()),
  NodeID: Type.Optional(Type.String()),
  Slot: Type.Optional(Type.Integer()),
  CreatedAt: Type.String(),
  DesiredState: Type.String(),
  Spec: Type.Object({
    ContainerSpec: Type.Optional(
      Type.Object({
        Labels: Type.Optional(Type.Record(Type.String(), Type.String())),
        Args: Type.Optional(Type.Array(Type.String())),
      }),
    ),
  }),
  Status: Type.Object({
    State: Type.String(),
    Timestamp: Type.Optional(Type.String()),
    Message: Type.Optional(Type.String()),
    Err: Type.Optional(Type.String()),
    ContainerStatus: Type.Optional(
      Type.Object({
        ContainerID: Type.Optional(Type.String()),
        ExitCode: Type.Optional(Type.Integer()),
      }),
    ),
  }),
});
export type SwarmTask = Static<typeof SwarmTask>;

const Node = Type.Object({
  ID: Type.String(),
  Description: Type.Object({ Hostname: Type.String() }),
  Spec: Type.Object({ Labels: Type.Optional(Type.Record(Type.String(), Type.String())) }),
});

export interface NodeInfo {
  hostname: string;
  labels: Record<string, string>;
}

const AnySpec = Type.Record(Type.String(), Type.Unknown());
const Created = Type.Object({ ID: Type.String() });
const Network = Type.Object({
  Id: Type.String(),
  Name: Type.String(),
  Labels: Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()])),
});

export interface EngineInfo {
  /** `x86_64` or `aarch64`, as the kernel says it. */
  architecture: string;
  /** Whether it can run services. */
  isManager: boolean;
  /** Its node's id in the Swarm. */
  node: string;
  /** The default driver of containers' logs, such as `json-file`. */
  logDriver: string;
}

/** Where a single node's Swarm listens: nobody else is meant to join it. */
const ALONE = "127.0.0.1:2377";

/** Labels that things must have, as the Engine API filters by them. */
export type Labels = Readonly<Record<string, string>>;

/** The Swarm endpoints of the Engine API. */
export class EngineSwarm {
  readonly #client: EngineClient;

  constructor(client: EngineClient) {
    this.#client = client;
  }

  /** What this engine is. */
  async info(): Promise<EngineInfo> {
    const { Architecture = "", LoggingDriver = "", Swarm } = await this.#client.json(Info, "GET", "/info");
    return {
      architecture: Architecture,
      isManager: Swarm?.ControlAvailable ?? false,
      node: Swarm?.NodeID ?? "",
      logDriver: LoggingDriver,
    };
  }

  /** Makes a Swarm of this node alone. */
  async init(): Promise<void> {
    const json = { ListenAddr: ALONE, AdvertiseAddr: "127.0.0.1", ForceNewCluster: false };
    await this.#client.call("POST", "/swarm/init", { json });
  }

  async services(labels: Labels): Promise<SwarmService[]> {
    const query = { filters: filters(labels) };
    return await this.#client.json(Type.Array(SwarmService), "GET", "/services", { query });
  }

  /** Its nodes, by id. */
  async nodes(): Promise<Map<string, NodeInfo>> {
    const nodes = await this.#client.json(Type.Array(Node), "GET", "/nodes");
    return new Map(
      nodes.map(({ ID, Description, Spec }) => [
        ID,
        { hostname: Description.Hostname, labels: Spec.Labels ?? {} },
      ]),
    );
  }

  /** `auth` is whoever pulls the image, on whatever node. */
  async create(spec: object, auth?: RegistryAuth): Promise<string> {
    return (await this.#client.json(Created, "POST", "/services/create", { json: spec, ...asHeader(auth) }))
      .ID;
  }

  /** Throws `outdated` where somebody else has changed it since it was read. */
  async update(
    service: Pick<SwarmService, "ID" | "Version">,
    spec: object,
    auth?: RegistryAuth,
  ): Promise<void> {
    const query = { version: String(service.Version.Index) };
    const sent = this.#client.call("POST", `/services/${service.ID}/update`, {
      ...{ query, json: spec },
      ...asHeader(auth),
    });
    await sent.catch((error: unknown) => {
      if (error instanceof DavitError && /update out of sequence/.test(error.message))
        throw new DavitError("outdated", "the service has changed meanwhile", { cause: error });
      throw error;
    });
  }

  /** A service's whole spec, to be sent back with changes. */
  async spec(id: string): Promise<{ service: SwarmService; spec: Record<string, unknown> }> {
    const path = `/services/${id}`;
    const service = await this.#client.json(SwarmService, "GET", path);
    const { Spec } = await this.#client.json(Type.Object({ Spec: AnySpec }), "GET", path);
    return { service, spec: Spec };
  }

  async remove(id: string): Promise<void> {
    await this.#client.call("DELETE", `/services/${id}`).catch(unlessGone);
  }

  async tasks(labels: Labels): Promise<SwarmTask[]> {
    const query = { filters: filters(labels) };
    return await this.#client.json(Type.Array(SwarmTask), "GET", "/tasks", { query });
  }

  /** The id of the overlay network of this name with these labels, which is made where there is none. Throws `exists` where a network of that name lacks the labels. */
  async network(name: string, labels: Labels): Promise<string> {
    const query = { filters: JSON.stringify({ name: [name] }) };
    const found = await this.#client.json(Type.Array(Network), "GET", "/networks", { query });
    const known = found.find((network) => network.Name === name);
    if (known && Object.entries(labels).some(([label, value]) => known.Labels?.[label] !== value))
      throw new DavitError("exists", `Cannot use network ${name}: it is not this rack's`, {
        hint: `see \`docker network inspect ${name}\`; another rack of that name may use this engine`,
      });
    if (known) return known.Id;
    const json = { Name: name, Driver: "overlay", Attachable: true, CheckDuplicate: true, Labels: labels };
    const made = await this.#client.json(Type.Object({ Id: Type.String() }), "POST", "/networks/create", {
      json,
    });
    return made.Id;
  }

  /** The networks that have all these labels, by name. */
  async networks(labels: Labels): Promise<Map<string, string>> {
    const query = { filters: filters(labels) };
    const found = await this.#client.json(Type.Array(Network), "GET", "/networks", { query });
    return new Map(found.map(({ Name, Id }) => [Name, Id]));
  }

  async removeNetwork(name: string): Promise<void> {
    await this.#client.call("DELETE", `/networks/${name}`).catch(unlessGone);
  }

  /** The last lines a task wrote, oldest first. */
  async lastLines(task: string, count: number): Promise<string[]> {
    const query = { stdout: "1", stderr: "1", tail: String(count) };
    return await Array.fromAsync(lines(frames(await this.#stream(`/tasks/${task}/logs`, { query }))));
  }

  /** What a service's tasks write, a line at a time: `TIME com.docker.swarm.task.id=TASK,… TEXT`. */
  serviceLog(id: string, { follow, since, tail, signal }: LogOptions): AsyncIterable<string> {
    const query = {
      ...{ stdout: "1", stderr: "1", details: "1", timestamps: "1", follow: follow ? "1" : "0" },
      ...(since === undefined ? {} : { since: String(Math.floor(since.getTime() / 1000)) }),
      ...(tail === undefined ? {} : { tail: String(tail) }),
    };
    const stream = async function* (this: EngineSwarm): AsyncGenerator<string> {
      yield* lines(frames(await this.#stream(`/services/${id}/logs`, { query, signal })));
    };
    return stream.call(this);
  }

  async #stream(path: string, request: EngineRequest): Promise<ByteStream> {
    const body: ReadableStream<Bytes> | null = (await this.#client.call("GET", path, request)).body;
    return body ?? streamOf();
  }
}

export interface LogOptions {
  /** Whether it goes on with what comes. */
  follow: boolean;
  since?: Date | undefined;
  /** Lines of each process, at most. */
  tail?: number | undefined;
  signal: AbortSignal;
}

function asHeader(auth: RegistryAuth | undefined): EngineRequest {
  return auth ? { headers: { "x-registry-auth": encodeHeader(auth) } } : {};
}

function filters(labels: Labels): string {
  return JSON.stringify({ label: Object.entries(labels).map(([name, value]) => `${name}=${value}`) });
}

function unlessGone(error: unknown): void {
  if (!hasCode(error, "not-found")) throw error;
}
