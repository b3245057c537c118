import { dlopen, FFIType, ptr } from "bun:ffi";

/** The longest list of names, and the longest value, that are read; in bytes. */
const ROOM = 64 * 1024;

/** Reads a file's extended attributes; what a link points to is not looked at. */
export type XattrReader = (path: string) => Map<string, Uint8Array>;

/**
 * A reader of extended attributes, by the C library: Bun has none. Undefined where the
 * system has no such library, or keeps attributes in another way.
 */
export function openXattrs(): XattrReader | undefined {
  if (process.platform !== "linux") return undefined;
  const libc = load();
  if (!libc) return undefined;
  const { llistxattr, lgetxattr } = libc;
  const room = new Uint8Array(ROOM);
  return (path) => {
    const file = Buffer.from(`${path}\0`);
    const found = new Map<string, Uint8Array>();
    const length = Number(llistxattr(ptr(file), ptr(room), ROOM));
    if (length <= 0) return found;
    for (const name of Buffer.from(room.subarray(0, length)).toString().split("\0").filter(Boolean)) {
      const size = Number(lgetxattr(ptr(file), ptr(Buffer.from(`${name}\0`)), ptr(room), ROOM));
      if (size >= 0) found.set(name, room.slice(0, size));
    }
    return found;
  };
}

function load() {
  for (const name of ["libc.so.6", "libc.so"])
    try {
      return dlopen(name, {
        llistxattr: { args: [FFIType.ptr, FFIType.ptr, FFIType.u64], returns: FFIType.i64 },
        lgetxattr: { args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.u64], returns: FFIType.i64 },
      }).symbols;
    } catch {
      // The next name, then.
    }
  return undefined;
}
