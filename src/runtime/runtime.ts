import type { ByteStream } from "../bytes.ts";
import type { Attachment } from "../docker-api/attached.ts";
import type { RegistryAuth } from "../docker-api/images.ts";
import type { Service } from "../manifest/convox-yml.ts";
import type { Route } from "./router-config.ts";
import type { RouterSettings } from "./swarm-router.ts";

/** A release as it is to run. */
export interface RunningApp {
  app: string;
  /** The app's id, which its volumes are named by: the next app of its name has another. */
  id: string;
  release: string;
  build: string;
  services: RunningService[];
  /** Whether the world is let in to its services. */
  routed: boolean;
  /** How long they may take to get well, in milliseconds; by their health checks when left out. */
  patience?: number | undefined;
  /** Where there are more nodes than davit's own: the image with our programs. */
  inside?: Pick<RunningService, "image" | "login"> | undefined;
}

export interface RunningService {
  service: Service;
  /** The image's id in the engine; or a name and digest that every node can pull it by. */
  image: string;
  /** Who pulls it. */
  login?: RegistryAuth | undefined;
  /** All a container of it is told, app's and ours. */
  env: Record<string, string>;
  /** It runs on as it is while releases come and go. */
  lasting?: boolean;
  /** Only on davit's own node: its image is there. */
  here?: boolean;
  /** What starts the image's entrypoint and the command. */
  before?: readonly string[];
}

/** A container of an app, as `ps` shows it. */
export interface Process {
  id: string;
  app: string;
  service: string;
  release: string;
  status: string;
  command: string;
  /** RFC 3339. */
  started: string;
}

export interface ApplyEvents {
  /** Before each change of what runs: throws where it is not the caller's to make any more. */
  beforeChange?(): Promise<void>;
  /** A process has another state now. */
  onState?(process: Process): void;
}

export interface AppLogOptions {
  /** One service only. */
  service?: string | undefined;
  /** One process only, by its id. */
  process?: string | undefined;
  /** Whether it goes on with what comes. */
  follow: boolean;
  since?: Date | undefined;
  tail?: number | undefined;
  signal: AbortSignal;
}

/** A command that is run once. */
export interface OneOff {
  service: string;
  command: readonly string[];
  /** Instead of the service's: thousandths of a processor, and megabytes. */
  cpu?: number | undefined;
  memory?: number | undefined;
}

/** An app that the router takes no routes of. */
export interface RefusedApp {
  app: string;
  problem: string;
}

/** What runs promoted releases. */
export interface Runtime {
  /**
   * Brings an app's services to a release, all of them at once, and waits until each is
   * well. Throws where one does not get so: then they are in between.
   */
  apply(app: RunningApp, events: ApplyEvents, signal: AbortSignal): Promise<void>;
  /** Lets the world in to these services, and to no others; undefined ends that. Apps whose routes the router refuses are left out. */
  route(routes: readonly Route[], settings: RouterSettings | undefined): Promise<RefusedApp[]>;
  /** Whether an earlier davit started the router, as a service that cannot join networks. */
  hasOldRouter(): Promise<boolean>;
  /** Apps that an earlier davit started: the router may not find them, or they share a network. */
  appsToMove(): Promise<string[]>;
  /** Ends whatever runs of an app. */
  remove(app: string, signal: AbortSignal): Promise<void>;
  processes(app: string): Promise<Process[]>;
  /** What an app's processes write, as `TIME service/NAME/PROCESS TEXT` lines. */
  logs(app: string, options: AppLogOptions): AsyncIterable<string>;
  /** Runs a command beside a process, in its container; undefined where there is no such process. */
  exec(app: string, id: string, command: readonly string[], to: Attachment): Promise<number | undefined>;
  /** Runs a command in a container of its own, like a service's; returns its exit code. */
  run(app: RunningApp, one: OneOff, to: Attachment): Promise<number>;
  /** The same, and nobody waits; returns the process's id. */
  runDetached(app: RunningApp, one: OneOff): Promise<string>;
  /** Ends a process, and says whether there was one; Swarm starts another in its place. */
  stop(app: string, id: string): Promise<boolean>;
  /** Replaces a service's processes, and says whether there is such a service. */
  restart(app: string, service: string): Promise<boolean>;
  /** How many nodes there are. */
  countNodes(): Promise<number>;
  /** What images are for here, as Go calls it. */
  architecture(): Promise<string>;
  /** The id of an image that is here, by its whole id or its name; a part of an id is no name. */
  findImage(name: string): Promise<string | undefined>;
  /** Takes an image from its registry. */
  pullImage(name: string, login: RegistryAuth | undefined): Promise<void>;
  /** Takes images out of an archive, by their ids and names. */
  load(archive: ByteStream): Promise<void>;
  /** Names an image, so that nobody tidies it away. */
  nameImage(id: string, repository: string, tag: string): Promise<void>;
  /** The tags of a repository. */
  tagsOf(repository: string): Promise<string[]>;
  /** Takes a name away; an image without any goes, unless it runs. */
  forgetName(repository: string, tag: string): Promise<void>;
}
