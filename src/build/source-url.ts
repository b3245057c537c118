import { DavitError } from "../errors.ts";
import { isLoopback } from "../hosts.ts";

/** A project that is fetched before it is built. */
export interface SourceUrl {
  kind: "git" | "tgz" | "zip";
  /** Without what stands behind `#`, and without a password. */
  url: string;
  /** User and password, where the address had them; over ssh the password is a private key in base64. */
  user: string;
  password: string;
  /** Branch, tag or commit; "" is what the remote's HEAD is. */
  ref: string;
  /** The project's directory in it. */
  subdir: string;
}

/** Words that git could take for an option or another place are none of these. */
const REF = /^[A-Za-z0-9_][A-Za-z0-9._/-]*$/;
const SUBDIR = /^[^\0:]+$/;
const SCP = /^(?:([\w.-]+)@)([\w.-]+|\[[0-9a-fA-F:]+\]):(?!\/\/)(.+)$/;

/** Reads an address of a project; undefined is a directory's path. */
export function parseSourceUrl(text: string): SourceUrl | undefined {
  const scp = SCP.exec(text);
  if (scp) {
    const [, user = "", host = "", path = ""] = scp;
    return parseSourceUrl(`ssh://${user}@${host}/${path.replace(/^\//, "")}`);
  }
  const [, scheme] = /^([a-z][a-z0-9+.-]*)::?(\/\/)?/i.exec(text) ?? [];
  if (scheme === undefined) return undefined;
  if (!/^(https?|ssh):\/\//.test(text)) throw refused(text, "only https:// and ssh:// are fetched");
  if (!URL.canParse(text)) throw refused(text, "it is no address");
  const url = new URL(text);
  if (url.protocol === "http:" && !isLoopback(url.hostname))
    throw refused(text, "only https:// and ssh:// are fetched");
  return sourceOf(url, text);
}

function sourceOf(url: URL, text: string): SourceUrl {
  const [ref = "", subdir = ""] = decodeURIComponent(url.hash.slice(1)).split(/:(.*)/s);
  const [, extension = ""] = /\.([A-Za-z0-9]+)\/?$/.exec(url.pathname) ?? [];
  if (extension === "") throw refused(text, "building from url requires an extension such as .git");
  if (extension !== "git" && extension !== "tgz" && extension !== "zip")
    throw refused(text, `unknown extension: .${extension}`);
  if (url.hostname.startsWith("-") || url.username.startsWith("-")) throw refused(text, "it is no address");
  if (ref !== "" && (!REF.test(ref) || ref.includes("..") || ref.endsWith(".lock")))
    throw refused(text, `${JSON.stringify(ref.slice(0, 100))} is no branch, tag or commit`);
  if (subdir !== "" && (!SUBDIR.test(subdir) || subdir.startsWith("/") || subdir.split("/").includes("..")))
    throw refused(text, `${JSON.stringify(subdir.slice(0, 100))} leads out of it`);
  const bare = new URL(url);
  bare.hash = "";
  bare.password = "";
  if (bare.protocol !== "ssh:") bare.username = "";
  return {
    kind: extension,
    url: bare.href,
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    ...{ ref, subdir },
  };
}

/** An address may hold a password: it is repeated without. */
function refused(text: string, why: string): DavitError {
  const shown = text.replace(/\/\/[^/@]*@/, "//").slice(0, 200);
  return new DavitError("invalid", `Cannot build ${JSON.stringify(shown)}: ${why}`, {
    hint: "such as https://host/repository.git#branch:directory, or git@host:repository.git",
  });
}
