import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";

/*
 * The few messages of a buildkitd's control API that a build needs, written and read by
 * hand: https://github.com/moby/buildkit/blob/master/api/services/control/control.proto
 */

/** A kind of export or cache, and what it is told. */
export interface Entry {
  type: string;
  attrs: Record<string, string>;
}

export interface SolveRequest {
  ref: string;
  session: string;
  frontend: string;
  frontendAttrs: Record<string, string>;
  exporter?: Entry | undefined;
  cacheExports?: readonly Entry[];
  cacheImports?: readonly Entry[];
  /** Such as `network.host`. */
  entitlements?: readonly string[];
}

export function encodeSolve(request: SolveRequest): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, 2).string(request.ref);
  const { exporter } = request;
  if (exporter) {
    // Daemons before 0.13 know one exporter only, by these two fields.
    writer.tag(3, 2).string(exporter.type);
    map(writer, 4, exporter.attrs);
  }
  writer.tag(5, 2).string(request.session);
  writer.tag(6, 2).string(request.frontend);
  map(writer, 7, request.frontendAttrs);
  const cache = new BinaryWriter();
  for (const one of request.cacheExports ?? []) cache.tag(4, 2).bytes(entry(one));
  for (const one of request.cacheImports ?? []) cache.tag(5, 2).bytes(entry(one));
  writer.tag(8, 2).bytes(cache.finish());
  for (const one of request.entitlements ?? []) writer.tag(9, 2).string(one);
  if (exporter) writer.tag(13, 2).bytes(entry(exporter));
  return writer.finish();
}

function entry({ type, attrs }: Entry): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, 2).string(type);
  map(writer, 2, attrs);
  return writer.finish();
}

function map(writer: BinaryWriter, field: number, values: Record<string, string>): void {
  for (const [key, value] of Object.entries(values))
    writer.tag(field, 2).bytes(new BinaryWriter().tag(1, 2).string(key).tag(2, 2).string(value).finish());
}

/** `SolveResponse { 1: map }`: what exporters say of what they made. */
export function decodeSolve(message: Uint8Array): Record<string, string> {
  const found: Record<string, string> = {};
  eachField(message, (field, reader) => {
    if (field !== 1) return false;
    let [key, value] = ["", ""];
    eachField(reader.bytes(), (part, inner) => {
      if (part === 1) key = inner.string();
      else if (part === 2) value = inner.string();
      else return false;
      return true;
    });
    found[key] = value;
    return true;
  });
  return found;
}

/** `InfoResponse { 1: BuildkitVersion { 2: version } }` */
export function decodeVersion(message: Uint8Array): string {
  let version = "";
  eachField(message, (field, reader) => {
    if (field !== 1) return false;
    eachField(reader.bytes(), (part, inner) => {
      if (part !== 2) return false;
      version = inner.string();
      return true;
    });
    return true;
  });
  return version;
}

/** One string in field 1: `StatusRequest { 1: ref }`. */
export function encodeText(text: string): Uint8Array {
  return new BinaryWriter().tag(1, 2).string(text).finish();
}

/** Calls `take` for each field; fields it does not take are skipped. */
export function eachField(bytes: Uint8Array, take: (field: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (!take(field, reader)) reader.skip(type);
  }
}
