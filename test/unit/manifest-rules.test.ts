import { expect, test } from "bun:test";
import fc from "fast-check";
import { loadConvoxYml } from "../../src/manifest/convox-yml.ts";
import { covers, hostNameFault } from "../../src/manifest/host-name.ts";
import { faultsOf } from "../../src/manifest/rules.ts";
import { parseVolume, volumeFault } from "../../src/manifest/volume.ts";

/* What a manifest may not say, though it can be read. */

async function faults(yml: string): Promise<string[]> {
  return faultsOf(await loadConvoxYml(yml, "convox.yml", {})).map(({ message }) => message);
}

const web = (more: string): string => `services:\n  web:\n    build: .\n    port: 80\n    ${more}\n`;

test("a domain is a host's name, alone or below one wildcard", () => {
  for (const good of ["example.com", "a.b-c.example", "xn--bcher-kva.example", "*.example.com", "localhost"])
    expect(hostNameFault(good)).toBeUndefined();
  for (const bad of [
    ...[
      "",
      ".",
      "a..b",
      "a.",
      ".a",
      "-a.example",
      "a-.example",
      "a_b.example",
      "a b.example",
      "a:80",
      "b\u00fccher.example",
    ],
    ...[
      "10.0.0.1",
      "1.example.2",
      "[::1]",
      "*",
      "*.com",
      "a.*.example.com",
      "*a.example.com",
      "**.example.com",
    ],
    ...[
      "{env.HOME}",
      "a{b}.example",
      "a\n.example",
      "a/b",
      `${"a".repeat(64)}.example`,
      "A.example",
      "*.*.example.com",
    ],
    "a.".repeat(127).slice(0, -1).concat(".toolong"),
  ])
    expect({ bad, fault: hostNameFault(bad) }).toEqual({ bad, fault: expect.any(String) });
});

test("a wildcard covers the names that differ from it in the first part only", () => {
  const names = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 2, maxLength: 4 });
  fc.assert(
    fc.property(names, names, (one, other) => {
      const expected = one.length === other.length && one.slice(1).join() === other.slice(1).join();
      expect(covers(["*", ...one.slice(1)].join("."), other.join("."))).toBe(expected);
      expect(covers(one.join("."), other.join("."))).toBe(one.join() === other.join());
    }),
  );
  expect(covers("*.a.b", "*.a.b")).toBe(true);
});

test("domains are told in lower case, once each, and every fault names its service", async () => {
  expect(await faults(web("domain: Shop.Example.COM"))).toEqual([]);
  expect(await faults(web("domain: [x.example.com, X.example.com, 'a b']"))).toEqual([
    'service web: domain "x.example.com" is named twice',
    'service web: domain "a b": "a b" is no part of a host name',
  ]);
  const two = `${web("domain: x.example")}  api:\n    build: .\n    port: 99999\n    domain: x.example\n`;
  expect(await faults(two)).toEqual([
    'service api: port "99999" is not from 1 to 65535',
    'service api: domain "x.example" is named twice, also by service web',
  ]);
  const many = Array.from({ length: 101 }, (_, n) => `n${n}.example`).join(",");
  expect(await faults(web(`domain: "${many}"`))).toEqual(["101 domains are more than 100"]);
});

test("a volume is a path, a name or a directory of the node, and nothing else gets through", () => {
  expect(parseVolume("/data")).toEqual({ kind: "own", source: "data", target: "/data", readOnly: false });
  expect(parseVolume("/srv/x/:/y:ro")).toEqual({
    kind: "host",
    source: "/srv/x",
    target: "/y",
    readOnly: true,
  });
  expect(parseVolume("files:/y")).toEqual({ kind: "own", source: "files", target: "/y", readOnly: false });
  for (const good of ["/data", "/data/", "/a/b:ro", "files:/y", "files:/y:rw", "/srv/x:/y", "/:/host:ro"])
    expect({ good, fault: volumeFault(good) }).toEqual({ good, fault: undefined });
  for (const bad of [
    ...[
      "",
      "data",
      "/",
      "//",
      "/a//b",
      "/a/../b",
      "/a/.",
      "files:y",
      "/srv:/",
      "/srv/../etc:/y",
      "/srv/.:/y",
    ],
    ...[
      "/srv:/y:z",
      "/srv:/y:shared",
      "/srv:/y:ro,z",
      "/srv:/y:ro:rw",
      "../x:/y",
      "a/b:/y",
      "a_b,c:/y",
      ".:/y",
    ],
    ...["/.davit", "/srv:/.davit/probe", "/a\nb", "/srv\u0000:/y", ":/y", "/srv:", `/${"a".repeat(2000)}`],
  ])
    expect({ bad, fault: volumeFault(bad) }).toEqual({ bad, fault: expect.any(String) });
});

test("any text is read as a volume without a fault only if its parts are plain", () => {
  const part = fc.constantFrom("/", "a", "..", ".", ":", "ro", "z", "\n", ",", "_", "/srv");
  fc.assert(
    fc.property(
      fc.array(part, { maxLength: 8 }).map((parts) => parts.join("")),
      (text) => {
        if (volumeFault(text) !== undefined) return;
        const { kind, source, target } = parseVolume(text);
        for (const path of kind === "host" ? [source, target] : [target])
          expect(path).toMatch(/^\/$|^(\/(?!\.{1,2}(\/|$))[^/:\n]+)+\/?$/);
        if (kind === "own") expect(source).not.toMatch(/[/:\n]/);
      },
    ),
  );
});

test("services, resources and timers have names of their own, and timers names that can be said", async () => {
  const yml = `${web("domain: a.example")}  resource-db:
    image: x
  timer-tidy:
    image: x
    volumes: [/a, 'x:/a/']
resources:
  db: {type: postgres, options: {version: "16@sha256:0"}}
timers:
  tidy: {command: x, schedule: "* * * * *", service: web}
  "a_b/../c": {command: x, schedule: "* * * * *", service: web}
`;
  expect(await faults(yml)).toEqual([
    'service timer-tidy: volume "x:/a/": /a is taken twice',
    "resource db and service resource-db are both called resource-db",
    "timer tidy and service timer-tidy are both called timer-tidy",
    "resource db: its version is no version",
    'timer name "a_b/../c" is not like a-z, then a-z, 0-9 and -',
  ]);
});
