import { readdirSync, readlinkSync } from "node:fs";

/** Linux's numbers: https://man7.org/linux/man-pages/man7/socket.7.html and tcp.7 */
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_ACCEPTCONN = 30;
const IPPROTO_TCP = 6;
const TCP_CONGESTION = 13;

/** Bytes that may wait to be read; the kernel doubles it for its own needs. */
const UNREAD = 512 * 1024;

/**
 * Two things that suit clients on this same machine, where nothing is far and nothing
 * can congest. Where BBR is the system's congestion control, every connection is
 * paced, with a timer for each 64 KiB: without it a pull takes 0.44 s in place of
 * 0.62. And what waits to be read is lost when a link breaks, for Bun closes it at
 * once: so little waits. Connections inherit both from the sockets that listen, so
 * it is for servers that only this machine can reach. Where they cannot be set,
 * nothing is lost.
 */
export async function tuneLoopback(): Promise<void> {
  if (process.platform !== "linux") return;
  const { dlopen, FFIType, ptr } = await import("bun:ffi");
  const { i32, u32, pointer } = FFIType;
  for (const library of ["libc.so.6", "libc.so"])
    try {
      const { symbols } = dlopen(library, {
        getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
        setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
      });
      const name = Buffer.from("reno"); // Every kernel has it, and everybody may use it.
      const [value, length] = [new Int32Array(1), new Uint32Array([4])];
      for (const fd of sockets()) {
        symbols.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(length));
        if (value[0] === 1) {
          symbols.setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, ptr(name), name.length);
          symbols.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, ptr(new Int32Array([UNREAD])), 4);
        }
        value[0] = 0;
      }
      return;
    } catch {
      // Another libc, or none that can be called.
    }
}

function sockets(): number[] {
  const dir = "/proc/self/fd";
  return readdirSync(dir)
    .filter((fd) => {
      try {
        return readlinkSync(`${dir}/${fd}`).startsWith("socket:");
      } catch {
        return false; // The list itself was one of them.
      }
    })
    .map(Number);
}
