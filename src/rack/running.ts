import type { ByteStream } from "../bytes.ts";
import type { Attachment } from "../docker-api/attached.ts";
import { type Static, Type } from "../schema.ts";

export const Process = Type.Object({
  id: Type.String(),
  app: Type.String(),
  service: Type.String(),
  release: Type.String(),
  status: Type.String(),
  command: Type.String(),
  started: Type.String(),
});
export type Process = Static<typeof Process>;

export interface LogsWanted {
  service?: string | undefined;
  process?: string | undefined;
  /** Whether it goes on with what comes. */
  follow: boolean;
  /** How far back, in milliseconds. */
  since?: number | undefined;
  /** Lines of each process, at most. */
  tail?: number | undefined;
  /** Lines that hold this text only. */
  filter?: string | undefined;
  signal: AbortSignal;
}

export interface ServiceInfo {
  name: string;
  count: number;
  /** Thousandths of a processor. */
  cpu: number;
  /** Megabytes. */
  memory: number;
  domain: string;
  ports: number[];
}

/** A database or the like. */
export interface ResourceInfo {
  name: string;
  type: string;
  /** `running`; `pending`; or `elsewhere`, where the app's env says where. */
  status: string;
  /** With its password. */
  url: string;
}

/** What is left out stays. */
export type Scaling = Partial<Pick<ServiceInfo, "count" | "cpu" | "memory">>;

export interface RunWanted {
  service: string;
  command: readonly string[];
  /** The active one when left out. */
  release?: string | undefined;
  /** Instead of the service's: thousandths of a processor, and megabytes. */
  cpu?: number | undefined;
  memory?: number | undefined;
}

/** What runs of a rack's apps. */
export interface Running {
  /** The services of the active release. */
  services(app: string): Promise<ServiceInfo[]>;
  /** The resources of the active release. */
  resources(app: string): Promise<ResourceInfo[]>;
  /** Changes how much of a service runs. */
  scale(app: string, service: string, change: Scaling): Promise<void>;
  /** What runs of an app. */
  processes(app: string): Promise<Process[]>;
  /** What they write: `TIME service/NAME/PROCESS TEXT` lines. */
  logs(app: string, wanted: LogsWanted): ByteStream;
  /** Runs a command beside a process; returns its exit code. */
  exec(app: string, id: string, command: readonly string[], to: Attachment): Promise<number>;
  /** Runs a command as a service's process would run; returns its exit code, or its process's id where nobody is attached. */
  runOnce(app: string, wanted: RunWanted, to: Attachment): Promise<number>;
  runDetached(app: string, wanted: RunWanted): Promise<string>;
  /** Ends a process; another takes its place. */
  stop(app: string, id: string): Promise<void>;
  /** Replaces a service's processes by new ones. */
  restart(app: string, service: string): Promise<void>;
}
