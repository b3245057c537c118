import { DavitError } from "../errors.ts";
import { parseReference } from "../oci/reference.ts";
import { checkConsent } from "./consent.ts";
import type { Settings } from "./settings.ts";

/**
 * The parameters a rack has when nobody has set any. Some begin with a capital
 * letter, by which the `convox` CLI knows a rack that takes them all.
 */
const DEFAULTS: Record<string, string> = {
  BuildCache: "No",
  BuildCacheCleanup: "No",
  BuildCacheRetentionDays: "30",
  BuildConcurrency: "2",
  BuildFromUrls: "No",
  BuildMethod: "ec2",
  BuildTimeout: "2h",
};

/** What the router is where nobody said otherwise; shown once there is one. */
const ROUTER_DEFAULTS: Record<string, string> = {
  RouterHttpPort: "80",
  RouterHttpsPort: "443",
  RouterImage: "caddy:2",
  RouterTls: "off",
};

/** Where images are kept: a prefix in a registry, or nothing for the rack itself. */
export const REGISTRY = "Registry";

/** Where a Swarm's nodes pull images from: a name of this rack's server that all of them know. */
export const REGISTRY_HOST = "RegistryHost";

/** What promoted releases run on; nothing, or `swarm`. */
export const RUNTIME = "Runtime";

/** What routed services' names end in; "" where there is no router. */
export async function routerDomain({ settings }: { settings: Settings }): Promise<string> {
  return await settings.param("RouterDomain");
}

/** What the router does depends on these. */
export function isRouterParam(name: string): boolean {
  return name.startsWith("Router");
}

/** Hosts that deploy keys may have the rack fetch images and sources from, though they are not public. */
export const IMPORT_FROM = "ImportFrom";

const YES_NO = /^(Yes|No)$/;
const PORT = /^[1-9]\d{0,4}$/;
const RULES: Record<string, { like: RegExp; words: string }> = {
  BuildCache: { like: YES_NO, words: "Yes or No" },
  BuildCacheCleanup: { like: YES_NO, words: "Yes or No" },
  BuildCacheRetentionDays: {
    like: /^([1-9]|[1-9]\d|[12]\d\d|3[0-5]\d|36[0-5])$/,
    words: "a number from 1 to 365",
  },
  BuildMethod: { like: /^(ec2|fargate)$/, words: "ec2 or fargate" },
  BuildkitHost: {
    like: /^(unix|tcp|ssh):\/\/[^\s,]+(,(unix|tcp|ssh):\/\/[^\s,]+)*$/,
    words: "addresses like unix:///path or tcp://host:port, joined with commas",
  },
  BuildFromUrls: { like: YES_NO, words: "Yes or No" },
  [IMPORT_FROM]: {
    like: /^[A-Za-z0-9.:[\]-]{1,255}(,[A-Za-z0-9.:[\]-]{1,255}){0,99}$/,
    words: "hosts, such as registry.example.com:5000, joined with commas",
  },
  [REGISTRY_HOST]: {
    like: /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?$/,
    words: "a host, such as rack.example.com:5443",
  },
  [RUNTIME]: { like: /^swarm$/, words: "swarm" },
  RouterDomain: { like: /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, words: "a domain, such as apps.example.com" },
  RouterHttpPort: { like: PORT, words: "a port" },
  RouterHttpsPort: { like: PORT, words: "a port" },
  RouterTls: { like: /^(off|acme|internal|given)$/, words: "off, acme, internal or given" },
  RouterCertificate: { like: /^-----BEGIN CERTIFICATE-----\n/, words: "a chain of certificates in PEM" },
  RouterKey: { like: /^-----BEGIN [A-Z ]*PRIVATE KEY-----\n/, words: "a private key in PEM" },
  BuildTimeout: { like: /^[1-9]\d{0,5}[smh]$/, words: "a time such as 90m or 2h" },
  BuildConcurrency: { like: /^([1-9]|[1-5]\d|6[0-4])$/, words: "a number from 1 to 64" },
};
const NAME = /^[A-Za-z][A-Za-z0-9_]{0,62}$/;

export async function effectiveParams(settings: Settings): Promise<Record<string, string>> {
  return withDefaults(await settings.params());
}

export function withDefaults(set: Record<string, string>): Record<string, string> {
  return { ...DEFAULTS, ...(set["RouterDomain"] ? ROUTER_DEFAULTS : {}), ...set };
}

/** Refuses all of a change when part of it is wrong. An empty value goes back to the default. */
export function checkParams(changes: Record<string, string>): void {
  for (const [name, value] of Object.entries(changes)) {
    if (!NAME.test(name))
      throw new DavitError(
        "invalid",
        `Cannot set parameter ${JSON.stringify(name.slice(0, 100))}: it is no name`,
      );
    if (name === REGISTRY && value !== "") checkPrefix(value);
    checkConsent(name, value);
    const rule = RULES[name];
    if (value !== "" && rule && !rule.like.test(value))
      throw new DavitError(
        "invalid",
        `Cannot set ${name}: it is ${rule.words}${isSecretParam(name) ? "" : `, not ${JSON.stringify(value.slice(0, 100))}`}`,
      );
  }
}

function checkPrefix(prefix: string): void {
  try {
    const { host, repository } = parseReference(`${prefix}/app`);
    if (`${host}/${repository}` === `${prefix}/app`) return;
  } catch {
    // Said below, in this parameter's words.
  }
  throw new DavitError(
    "invalid",
    `Cannot set ${REGISTRY}: ${JSON.stringify(prefix.slice(0, 100))} is not like HOST/PREFIX`,
    { hint: "such as registry.example.com/team, or docker.io/NAME" },
  );
}

/** Whether a parameter's value is for nobody's eyes on a terminal. */
export function isSecretParam(name: string): boolean {
  return /password|secret|token|access_id|private|signing|HttpProxy|Key$/i.test(name);
}
