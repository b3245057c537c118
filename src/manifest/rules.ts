import type { ConvoxYml, Service } from "./convox-yml.ts";
import { hostNameFault } from "./host-name.ts";
import { resourceHost } from "./resources.ts";
import { timerName } from "./timers.ts";
import { parseVolume, trimSlash, volumeFault } from "./volume.ts";

/** Something that a release may not contain: the line of its service, and what is wrong. */
export interface Fault {
  line: number;
  message: string;
}

/** Domains of one app, at most. */
const MOST_DOMAINS = 100;

/**
 * Lists all that keeps a manifest from being run, though it could be parsed. The values of all
 * variables must be known by then. Releases that run already are not checked again.
 */
export function faultsOf(manifest: ConvoxYml): Fault[] {
  const { services, resources, timers } = manifest;
  return [
    ...services.flatMap(serviceFaults),
    ...domainFaults(services),
    ...nameFaults(manifest),
    ...resources
      .filter(({ version }) => version !== undefined && !/^\w[\w.-]{0,127}$/.test(version))
      .map(({ line, name }) => ({ line, message: `resource ${name}: its version is no version` })),
    ...timers
      .filter(({ name }) => !/^[a-z][a-z0-9-]{0,50}$/.test(name))
      .map(({ line, name }) => ({
        line,
        message: `timer name ${JSON.stringify(name.slice(0, 80))} is not like a-z, then a-z, 0-9 and -`,
      })),
  ];
}

function serviceFaults({ name, line, port, running }: Service): Fault[] {
  const found: string[] = [];
  const number = Number(port.slice(port.indexOf(":") + 1));
  if (port !== "" && !isPort(number)) found.push(`port ${JSON.stringify(port)} is not from 1 to 65535`);
  for (const one of running.ports)
    if (!isPort(Number.parseInt(one, 10))) found.push(`port ${JSON.stringify(one)} is not from 1 to 65535`);
  const targets = new Set<string>();
  for (const volume of running.volumes) {
    const target = trimSlash(parseVolume(volume).target);
    const fault = volumeFault(volume) ?? (targets.has(target) ? `${target} is taken twice` : undefined);
    targets.add(target);
    if (fault !== undefined) found.push(`volume ${JSON.stringify(volume.slice(0, 200))}: ${fault}`);
  }
  return found.map((message) => ({ line, message: `service ${name}: ${message}` }));
}

function isPort(number: number): boolean {
  return number >= 1 && number <= 65_535;
}

function domainFaults(services: readonly Service[]): Fault[] {
  const found: Fault[] = [];
  const owners = new Map<string, string>();
  for (const { name, line, running } of services)
    for (const domain of running.domains) {
      const [fault, owner] = [hostNameFault(domain), owners.get(domain)];
      owners.set(domain, name);
      const shown = JSON.stringify(domain.slice(0, 100));
      if (fault !== undefined) found.push({ line, message: `service ${name}: domain ${shown}: ${fault}` });
      else if (owner !== undefined)
        found.push({
          line,
          message: `service ${name}: domain ${shown} is named twice${owner === name ? "" : `, also by service ${owner}`}`,
        });
    }
  const [first] = services;
  if (first && owners.size > MOST_DOMAINS)
    found.push({ line: first.line, message: `${owners.size} domains are more than ${MOST_DOMAINS}` });
  return found;
}

/** Services, resources and timers run side by side, so no two may have one name. */
function nameFaults({ services, resources, timers }: ConvoxYml): Fault[] {
  const all = [
    ...services.map(({ name, line }) => ({ name, line, what: `service ${name}` })),
    ...resources.map(({ name, line }) => ({ name: resourceHost(name), line, what: `resource ${name}` })),
    ...timers.map(({ name, line }) => ({ name: timerName(name), line, what: `timer ${name}` })),
  ];
  const taken = new Map<string, string>();
  return all.flatMap(({ name, line, what }) => {
    const other = taken.get(name);
    taken.set(name, what);
    return other === undefined ? [] : [{ line, message: `${what} and ${other} are both called ${name}` }];
  });
}
