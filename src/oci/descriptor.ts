import { type Static, Type } from "../schema.ts";
import { type Digest, digestOf, parseDigest } from "./digest.ts";

/** A digest on the wire; `parseDescriptor` turns the text into a checked `Digest`. */
const Text = Type.String({ maxLength: 4096 });

export const Platform = Type.Object({
  architecture: Type.String(),
  os: Type.String(),
  variant: Type.Optional(Type.String()),
});
export type Platform = Static<typeof Platform>;

/** https://github.com/opencontainers/image-spec/blob/main/descriptor.md */
export const WireDescriptor = Type.Object({
  mediaType: Type.String({ minLength: 1, maxLength: 255 }),
  digest: Text,
  size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
  platform: Type.Optional(Platform),
  artifactType: Type.Optional(Type.String()),
  data: Type.Optional(Type.String()),
  urls: Type.Optional(Type.Array(Type.String())),
});

/** What names content: its type, digest and size in bytes, and remarks that travel beside it. */
export interface Descriptor {
  mediaType: string;
  digest: Digest;
  size: number;
  annotations?: Record<string, string>;
  platform?: Platform;
  artifactType?: string;
}

/** A descriptor from the wire, its digest checked. `data` and `urls` are dropped: davit never follows them. */
export function parseDescriptor(wire: Static<typeof WireDescriptor>): Descriptor {
  return {
    mediaType: wire.mediaType,
    digest: parseDigest(wire.digest),
    size: wire.size,
    ...(wire.annotations ? { annotations: wire.annotations } : {}),
    ...(wire.platform ? { platform: wire.platform } : {}),
    ...(wire.artifactType ? { artifactType: wire.artifactType } : {}),
  };
}

/** The descriptor of bytes in hand. */
export function describe(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}
