import { streamOf } from "../../bytes.ts";
import type { EngineContainers } from "../../docker-api/containers.ts";
import { writeTar } from "../../tar/write.ts";
import { PROBES } from "./programs.ts";

/** Puts the program into a volume, through a container that never runs; `image` may be any. Undefined where there is no program for this processor. */
export async function probeVolume(
  containers: EngineContainers,
  architecture: string,
  rack: string,
  image: string,
): Promise<string | undefined> {
  const program = PROBES[architecture];
  if (program === undefined) return undefined;
  const bytes = new Uint8Array(Buffer.from(program, "base64"));
  const volume = `davit_${rack}_probe`;
  const id = await containers.create({
    Image: image,
    Cmd: ["none"],
    HostConfig: { Mounts: [{ Type: "volume", Source: volume, Target: "/.davit" }] },
  });
  try {
    const member = { name: "probe", type: "file" as const, mode: 0o755, size: bytes.byteLength };
    await containers.put(id, "/.davit", writeTar([{ ...member, body: () => streamOf(bytes) }]));
  } finally {
    await containers.remove(id);
  }
  return volume;
}
