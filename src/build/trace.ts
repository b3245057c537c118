import { eachField } from "../docker-api/buildkit-messages.ts";

/**
 * BuildKit's progress, as `/build?version=2` sends it: a protobuf
 * `moby.buildkit.v1.StatusResponse` in base64. Only the fields we show are read.
 * https://github.com/moby/buildkit/blob/master/api/services/control/control.proto
 */
export interface Trace {
  vertexes: Vertex[];
  logs: VertexLog[];
}

export interface Vertex {
  digest: string;
  /** Digests of those it was made from. */
  inputs: string[];
  name: string;
  cached: boolean;
  /** Seconds since 1970. */
  started: number | undefined;
  completed: number | undefined;
  error: string;
}

export interface VertexLog {
  vertex: string;
  /** Seconds since 1970. */
  time: number;
  text: string;
}

const decoder = new TextDecoder();

/** `bytes` is a `StatusResponse`; the Docker Engine's stream has it in base64. */
export function decodeTrace(bytes: Uint8Array): Trace {
  const trace: Trace = { vertexes: [], logs: [] };
  eachField(bytes, (field, reader) => {
    if (field === 1) trace.vertexes.push(decodeVertex(reader.bytes()));
    else if (field === 3) trace.logs.push(decodeLog(reader.bytes()));
    else return false;
    return true;
  });
  return trace;
}

function decodeVertex(bytes: Uint8Array): Vertex {
  const vertex: Vertex = {
    digest: "",
    inputs: [],
    name: "",
    cached: false,
    started: undefined,
    completed: undefined,
    error: "",
  };
  eachField(bytes, (field, reader) => {
    if (field === 1) vertex.digest = reader.string();
    else if (field === 2) vertex.inputs.push(reader.string());
    else if (field === 3) vertex.name = reader.string();
    else if (field === 4) vertex.cached = reader.bool();
    else if (field === 5) vertex.started = decodeTime(reader.bytes());
    else if (field === 6) vertex.completed = decodeTime(reader.bytes());
    else if (field === 7) vertex.error = reader.string();
    else return false;
    return true;
  });
  return vertex;
}

function decodeLog(bytes: Uint8Array): VertexLog {
  const log: VertexLog = { vertex: "", time: 0, text: "" };
  eachField(bytes, (field, reader) => {
    if (field === 1) log.vertex = reader.string();
    else if (field === 2) log.time = decodeTime(reader.bytes());
    else if (field === 4) log.text = decoder.decode(reader.bytes());
    else return false;
    return true;
  });
  return log;
}

function decodeTime(bytes: Uint8Array): number {
  let seconds = 0;
  eachField(bytes, (field, reader) => {
    if (field === 1) seconds += Number(reader.int64());
    else if (field === 2) seconds += reader.int32() / 1e9;
    else return false;
    return true;
  });
  return seconds;
}
