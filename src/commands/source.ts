import { fstatSync, openSync } from "node:fs";
import type { ByteStream } from "../bytes.ts";
import { DavitError, systemError } from "../errors.ts";
import { refuseDatabase } from "../plain-file.ts";
import { readFd, stdin } from "../read-fd.ts";

/** An archive to be read once, from stdin, a file, or the volumes of one. */
export interface StreamSource {
  stream: ByteStream;
  /** In bytes, where it is known. */
  size?: number;
}

/** Opens what a user named: `-` or nothing is stdin, `F.001` all volumes. */
export async function openSource(file: string | undefined, doing: string): Promise<StreamSource> {
  if (file === undefined || file === "-") {
    if (process.stdin.isTTY)
      throw new DavitError("usage", `Cannot ${doing} from a terminal`, {
        hint: "pipe a file into this command or name one",
      });
    return { stream: stdin() };
  }
  const { isFirstVolume, readVolumes } = await import("../volumes.ts");
  return isFirstVolume(file) ? { stream: readVolumes(file) } : openFile(file);
}

/** Not closed: the process ends with the command. */
function openFile(path: string): StreamSource {
  refuseDatabase(path);
  try {
    const fd = openSync(path, "r");
    const info = fstatSync(fd);
    if (info.isDirectory()) throw new DavitError("invalid", `Cannot read ${path}: it is a directory`);
    return { stream: readFd(fd, path), ...(info.isFile() ? { size: info.size } : {}) };
  } catch (error) {
    throw systemError(`Cannot read ${path}`, error);
  }
}
