import { streamOf } from "../../bytes.ts";
import type { EngineContainers } from "../../docker-api/containers.ts";
import { writeTar } from "../../tar/write.ts";
import { PROGRAMS } from "./programs.ts";

/** Where the volume lies in containers that need it. */
export const INSIDE = "/.davit";

/** Puts our programs into a volume, through a container that never runs; `image` may be any. Undefined where there are none for this processor. */
export async function insideVolume(
  containers: EngineContainers,
  architecture: string,
  rack: string,
  image: string,
): Promise<string | undefined> {
  const programs = PROGRAMS[architecture];
  if (programs === undefined) return undefined;
  const volume = `davit_${rack}_inside`;
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
