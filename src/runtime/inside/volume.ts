import { streamOf } from "../../bytes.ts";
import type { EngineContainers } from "../../docker-api/containers.ts";
import { writeTar } from "../../tar/write.ts";
import { PROGRAMS } from "./programs.ts";

/** Where the volume lies in containers that need it. */
export const INSIDE = "/.davit";

/** The volume has another name when the programs are others: an engine fills one only once. */
export function insideVolumeName(rack: string): string {
  return `davit_${rack}_inside_${VERSION}`;
}

const VERSION = new Bun.CryptoHasher("sha256").update(JSON.stringify(PROGRAMS)).digest("hex").slice(0, 8);

/** Puts our programs into a volume, through a container that never runs; `image` may be any. Undefined where there are none for this processor. */
export async function insideVolume(
  containers: EngineContainers,
  architecture: string,
  rack: string,
  image: string,
): Promise<string | undefined> {
  const programs = PROGRAMS[architecture];
  if (programs === undefined) return undefined;
  const volume = insideVolumeName(rack);
  const id = await containers.create({
    Image: image,
    Cmd: ["none"],
    HostConfig: { Mounts: [{ Type: "volume", Source: volume, Target: INSIDE }] },
  });
  try {
    const members = Object.entries(programs).map(([name, base64]) => {
      const bytes = new Uint8Array(Buffer.from(base64, "base64"));
      const member = { name, type: "file" as const, mode: 0o755, size: bytes.byteLength };
      return { ...member, body: () => streamOf(bytes) };
    });
    await containers.put(id, INSIDE, writeTar(members));
  } finally {
    await containers.remove(id);
  }
  return volume;
}
