import { type ByteStream, encode } from "../bytes.ts";
import type { Attachment } from "../docker-api/attached.ts";
import { DavitError } from "../errors.ts";
import { CHANNELS, Channel, Channels, EXIT_MARK, Status, said } from "../http/channels.ts";
import type { Socket } from "../http/socket.ts";
import { shellQuote } from "../shell-words.ts";
import { type RackClient, toldError } from "./rack-client.ts";

const EXIT = new RegExp(`^${EXIT_MARK}:(\\d+)\\n$`);
/** Bytes that may wait to be sent to who cannot say what it has taken. */
const MOST_WAITING = 1024 * 1024;

/** A rack whose commands we join. */
export interface Speaker {
  client: RackClient;
  /** Whether it is one of davit's: the original takes no sub-protocol, not even to decline it. */
  isDavit: boolean;
}

/** Joins our streams with a command that a rack runs; returns its exit code. */
export async function remoteAttach(
  { client, isDavit }: Speaker,
  path: string,
  command: readonly string[],
  to: Attachment,
  more: Record<string, string> = {},
): Promise<number> {
  const headers = { ...commandHeaders(command), ...terminalHeaders(to), ...more };
  if (!isDavit && headers["command"] === undefined)
    throw new DavitError("unsupported", `Rack ${client.address.name} takes no such command: it has no line`);
  const protocol = isDavit ? { protocol: CHANNELS } : {};
  const socket = await client.open(path, { signal: to.signal, headers, ...protocol });
  try {
    return await (socket.protocol === CHANNELS ? byChannels : byText)(client, socket, to);
  } finally {
    socket.close();
  }
}

/** As a line, for the original; and as it is, where a line of a header cannot hold that. */
export function commandHeaders(command: readonly string[]): Record<string, string> {
  const line = command.map(shellQuote).join(" ");
  const json = JSON.stringify(command).replaceAll(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return { "davit-command": json, ...(/^[ -~]*$/.test(line) ? { command: line } : {}) };
}

function terminalHeaders({ stdin, terminal }: Attachment): Record<string, string> {
  return {
    tty: String(terminal !== undefined),
    ...(terminal ? { width: String(terminal.size.columns), height: String(terminal.size.rows) } : {}),
    ...(stdin ? {} : { "disable-stdin": "true" }),
  };
}

async function byChannels(client: RackClient, socket: Socket, to: Attachment): Promise<number> {
  const channels = new Channels((frame) => socket.send(frame), to.signal);
  void listen(socket, channels).catch((error: DavitError) => channels.end(error));
  void sendInput(channels, to.stdin).catch(() => undefined);
  void sendResizes(channels, to).catch(() => undefined);
  for await (const { channel, content } of channels.received()) {
    if (channel === Channel.stdout) await to.write("stdout", content);
    else if (channel === Channel.stderr) await to.write("stderr", content);
    else if (channel === Channel.status) return exitOf(said(Status, content), client);
  }
  throw brokenOff(client);
}

function exitOf(status: Status, client: RackClient): number {
  if (status.exit !== undefined) return status.exit;
  throw toldError({ ...status, error: status.error ?? `rack ${client.address.name} gave no reason` });
}

async function listen(socket: Socket, channels: Channels): Promise<void> {
  for await (const frame of socket.received) {
    if (typeof frame === "string") throw new DavitError("rack", errorLine(frame) ?? frame.trim());
    if (frame.byteLength === 0) break;
    channels.receive(frame);
  }
  channels.end();
}

async function sendInput(channels: Channels, stdin: ByteStream | undefined): Promise<void> {
  for await (const chunk of stdin ?? []) await channels.write(Channel.stdin, chunk);
  channels.close(Channel.stdin);
}

async function sendResizes(channels: Channels, { terminal }: Attachment): Promise<void> {
  for await (const { columns, rows } of terminal?.resizes ?? [])
    channels.tell(Channel.resize, { columns, rows });
}

/** The original's dialect: text, then the exit code, in a frame of its own. */
async function byText(client: RackClient, socket: Socket, to: Attachment): Promise<number> {
  void sendText(socket, to.stdin).catch(() => undefined);
  let error: string | undefined;
  for await (const frame of socket.received) {
    if (typeof frame !== "string") break;
    const exit = EXIT.exec(frame)?.[1];
    if (exit !== undefined) return Number(exit);
    error = errorLine(frame);
    if (error === undefined) await to.write("stdout", encode(frame));
  }
  throw error === undefined ? brokenOff(client) : new DavitError("rack", error);
}

async function sendText(socket: Socket, stdin: ByteStream | undefined): Promise<void> {
  const text = new TextDecoder();
  for await (const chunk of stdin ?? []) {
    const frame = text.decode(chunk, { stream: true });
    if (frame !== "") socket.send(frame);
    while (socket.waiting() > MOST_WAITING) await Bun.sleep(5);
  }
  socket.send(new Uint8Array(0));
}

function errorLine(frame: string): string | undefined {
  return /^ERROR: (.*)\n$/s.exec(frame)?.[1];
}

function brokenOff({ address }: RackClient): DavitError {
  return new DavitError("unavailable", `The connection to rack ${address.name} broke off`, {
    hint: "the command may still run there",
  });
}
