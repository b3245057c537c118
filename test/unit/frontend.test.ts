import { expect, test } from "bun:test";
import { requireOwnFrontend } from "../../src/build/frontend.ts";

const read = (text: string, ...args: string[]) => requireOwnFrontend(text, args, "Dockerfile");

test("a Dockerfile that docker's own frontend reads is taken", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  for (const text of [
    "FROM scratch\n",
    "# syntax=docker/dockerfile:1\nFROM scratch\n",
    "#syntax = docker.io/docker/dockerfile-upstream:master-labs\r\nFROM scratch\r\n",
    `# escape=\\\n# syntax=docker/dockerfile:1@${digest}\nFROM scratch\n`,
    "# the syntax=it of this file\nFROM scratch\nCOPY <<END /x.json\n{\nEND\n",
  ])
    read(text, "VERSION");
});

test("a Dockerfile that names another frontend is refused, in whatever form BuildKits read", () => {
  for (const text of [
    "# syntax=evil.example.com/frontend\nFROM scratch\n",
    "#SYNTAX=evil/frontend\n",
    "\uFEFF# syntax=evil/frontend\n",
    "#!/usr/bin/env x\n# syntax=evil/frontend\n",
    "// syntax=evil/frontend\n",
    '{"syntax": "evil/frontend"}',
    '#!/usr/bin/env x\n\n {"syntax": "evil/frontend"}',
    "# check=skip=all\n#\tsyntax\t=\tevil/frontend\n",
    "# syntax=docker/dockerfile.evil.example.com/x\n",
    "# syntax=docker/dockerfile:1 evil\n",
  ])
    expect(() => read(text)).toThrow("no frontend of docker's own");
  expect(() => read("FROM scratch\n", "BUILDKIT_SYNTAX")).toThrow("no frontend of docker's own");
});
