import { TAG } from "./reference.ts";

/**
 * The tag that a name in an archive stands for: `web.BABC…` is one as it is, of a
 * whole reference it is what follows the last colon. Undefined where there is none.
 */
export function tagOf(name: string): string | undefined {
  if (TAG.test(name)) return name;
  const bare = name.split("@")[0] ?? "";
  const colon = bare.lastIndexOf(":");
  const tag = colon > bare.lastIndexOf("/") ? bare.slice(colon + 1) : undefined;
  return tag !== undefined && TAG.test(tag) ? tag : undefined;
}
