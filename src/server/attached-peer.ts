import { type Bytes, encode } from "../bytes.ts";
import type { Attachment, TerminalSize } from "../docker-api/attached.ts";
import { DavitError, reasonOf } from "../errors.ts";
import { CHANNELS, Channel, Channels, EXIT_MARK } from "../http/channels.ts";
import { Mailbox } from "../mailbox.ts";
import { told } from "./answer.ts";
import type { Peer } from "./sockets.ts";

/** Where nobody says. */
const USUAL: TerminalSize = { columns: 80, rows: 24 };
/** Bytes of input that may wait: who speaks the original's dialect cannot be told to. */
const MOST_INPUT = 64 * 1024 * 1024;

/** Joins whoever is at a socket with a command, in the dialect that was agreed on. */
export async function attachPeer(
  peer: Peer,
  headers: Headers,
  run: (to: Attachment) => Promise<number>,
): Promise<void> {
  const converse = peer.protocol === CHANNELS ? byChannels : byText;
  await converse(peer, headers, run);
}

async function byChannels(
  peer: Peer,
  headers: Headers,
  run: (to: Attachment) => Promise<number>,
): Promise<void> {
  const channels = new Channels((frame) => void peer.send(frame).catch(() => undefined), peer.signal);
  void listen(peer, channels).catch((error: DavitError) => {
    channels.end(error);
    peer.ignore();
  });
  try {
    const exit = await run({
      stdin: contentOf(channels),
      write: (output, bytes) => channels.write(Channel[output], bytes),
      terminal: terminalOf(headers, channels.resizes),
      signal: peer.signal,
    });
    channels.tell(Channel.status, { exit });
  } catch (error) {
    channels.tell(Channel.status, told(error));
  }
}

async function listen(peer: Peer, channels: Channels): Promise<void> {
  for await (const frame of peer.received) if (typeof frame !== "string") channels.receive(frame);
  channels.end();
}

async function* contentOf(channels: Channels): AsyncGenerator<Bytes> {
  for await (const { channel, content } of channels.received()) if (channel === Channel.stdin) yield content;
}

/** The original's: text both ways, whatever it holds, and the exit code in a frame of its own. */
async function byText(peer: Peer, headers: Headers, run: (to: Attachment) => Promise<number>): Promise<void> {
  const text = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  let exit = 1;
  try {
    exit = await run({
      stdin: headers.get("disable-stdin") === "true" ? undefined : typed(peer),
      write: (output, bytes) => peer.send(text[output].decode(bytes, { stream: true })),
      terminal: terminalOf(headers, new Mailbox()),
      signal: peer.signal,
    });
  } catch (error) {
    await peer.send(`ERROR: ${reasonOf(error)}\n`);
  }
  await peer.send(`${EXIT_MARK}:${exit}\n`);
}

/** An empty frame is the input's end. */
function typed(peer: Peer): AsyncIterable<Bytes> {
  const input = new Mailbox<Bytes>();
  let waiting = 0;
  const listen = async (): Promise<void> => {
    for await (const frame of peer.received) {
      const bytes = typeof frame === "string" ? encode(frame) : frame;
      waiting += bytes.byteLength;
      if (bytes.byteLength === 0) input.end();
      else if (waiting <= MOST_INPUT) input.put(bytes);
      else input.end(new DavitError("invalid", "input comes faster than it is read"));
    }
    input.end();
  };
  void listen();
  async function* read(): AsyncGenerator<Bytes> {
    for await (const bytes of input) {
      yield bytes;
      waiting -= bytes.byteLength;
    }
  }
  return read();
}

function terminalOf(headers: Headers, resizes: AsyncIterable<TerminalSize>): Attachment["terminal"] {
  if (headers.get("tty") === "false") return undefined;
  const size = (name: string, usual: number): number => Number(headers.get(name)) || usual;
  return {
    size: { columns: size("width", USUAL.columns), rows: size("height", USUAL.rows) },
    resizes,
  };
}
