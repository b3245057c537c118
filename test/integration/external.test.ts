import { expect, test } from "bun:test";
import { startRack } from "../support/convox.ts";
import { sandbox } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { Recorder } from "../support/recorder.ts";
import { startRegistry } from "../support/registry.ts";

/* External builds for a rack whose registry is elsewhere, with the logins that clouds give. */

const LOGINS: Record<string, { name: string; password: string }> = {
  "Amazon's": { name: "AWS", password: "eyJwYXlsb2FkIjoiL+8/abc==" },
  "Google's": { name: "_json_key", password: '{"type":"x","key":"a/b+c=="}' },
  "Azure's": { name: "00000000-0000-0000-0000-000000000000", password: "eyJ0.eyJh-_x.sig%41" },
};

for (const [whose, login] of Object.entries(LOGINS))
  test(`an external build pushes with ${whose} kind of login, and says it nowhere`, async () => {
    using box = sandbox();
    await box.ok(["apps", "create", "shop"]);
    await using registry = await startRegistry(login);
    await using rack = await startRack(box);
    await using recorder = new Recorder(rack.url);
    const address = `http://${encodeURIComponent(login.name)}:${encodeURIComponent(login.password)}@${registry.host}/team/shop`;
    recorder.answer = (line, text) =>
      line === "POST /apps/shop/builds" ? JSON.stringify({ ...JSON.parse(text), repository: address }) : text;
    const dir = await project(box.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()}\n`,
    });
    const RACK_URL = rack.rackUrl.replace(rack.host, recorder.host);
    const { stdout, stderr } = await box.run(["build", "--external", "-a", "shop"], {
      cwd: dir,
      env: { RACK_URL },
    });
    const [, tag = ""] = /^Pushed: \S+\/team\/shop:(web\.B[A-Z]{10})$/m.exec(stdout) ?? [];
    const authorization = `Basic ${Buffer.from(`${login.name}:${login.password}`).toString("base64")}`;
    const accept = "application/vnd.oci.image.manifest.v1+json";
    const manifest = await fetch(`http://${registry.host}/v2/team/shop/manifests/${tag}`, {
      headers: { authorization, accept },
    });
    expect(manifest.status).toBe(200);
    expect(stdout + stderr).not.toContain(login.password);
    expect(JSON.stringify(recorder.requests)).not.toContain(login.password);
    expect(
      recorder.requests.find(({ line }) => line.startsWith("POST /apps/shop/objects/tmp/")),
    ).toBeUndefined();
  }, 60_000);
