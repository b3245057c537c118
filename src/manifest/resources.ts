import type { Pair, YAMLMap } from "yaml";
import type { YamlReader } from "./yaml-reader.ts";

/** A database or the like, as convox.yml says: https://docs.convox.com/reference/primitives/app/resource/ */
export interface Resource {
  name: string;
  /** `postgres`, `redis` and so on; racks differ in which they have. */
  type: string;
  /** Instead of the usual one of its type. */
  image: string | undefined;
  version: string | undefined;
  line: number;
}

/** A service's use of a resource. */
export interface ResourceLink {
  resource: string;
  /** The variable its URL is told in. */
  variable: string;
}

export function readResources(reader: YamlReader, root: YAMLMap): Resource[] {
  return (reader.map(root, "resources")?.items ?? []).map((pair) => readResource(reader, pair));
}

function readResource(reader: YamlReader, { key, value }: Pair): Resource {
  const [name, map] = [reader.key(key), reader.asMap(reader.resolve(value))];
  if (!/^[a-z][a-z0-9-]{0,50}$/.test(name))
    reader.mistake(
      reader.line(key),
      `resource name ${JSON.stringify(name)} is not like a-z, then a-z, 0-9 and -`,
    );
  return {
    name,
    type: reader.text(map, "type") ?? "",
    image: reader.text(map, "image"),
    version: reader.text(reader.map(map, "options"), "version"),
    line: reader.line(key),
  };
}

/** The name of a resource's service, and the host name that other services reach it by. */
export function resourceHost(name: string): string {
  return `resource-${name}`;
}

/** `NAME`, told as `NAME_URL`; or `NAME:VARIABLE`. */
export function linkOf(text: string): ResourceLink {
  const [resource = "", variable = variableOf(resource)] = text.split(/:(.*)/s);
  return { resource, variable };
}

export function variableOf(resource: string): string {
  return `${resource.toUpperCase().replaceAll("-", "_")}_URL`;
}
