import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { sandbox } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";

test("podman's Docker-compatible socket builds and stores the same project", async () => {
  using box = sandbox();
  const socket = box.join("podman.sock");
  const state = [
    "--root",
    box.join("root"),
    "--runroot",
    box.join("run"),
    "--storage-driver",
    "vfs",
    "--cgroup-manager",
    "cgroupfs",
    // crun refuses machines with both versions of cgroups.
    "--runtime",
    "runc",
  ];
  const podman = Bun.spawn(["podman", ...state, "system", "service", "--time", "0", `unix://${socket}`], {
    stdout: "ignore",
    stderr: "pipe",
  });
  try {
    for (let tries = 0; tries < 200 && !existsSync(socket); tries++) await Bun.sleep(50);
    const dir = await project(box.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}ARG V\nRUN echo $V > /v\nENTRYPOINT ["/bin/sh"]\n`,
    });
    const env = { DOCKER_HOST: `unix://${socket}` };
    const build = await box.json(["build", "--build-args", "V=1"], { cwd: dir, env });
    expect(build).toMatchObject({ status: "complete", entrypoint: "/bin/sh" });
    await box.ok(["builds", "export", build.id, "-f", box.join("b.tar")], { cwd: dir });
    expect(await box.json(["build", "--no-cache"], { cwd: dir, env })).toMatchObject({ status: "complete" });
  } finally {
    podman.kill();
    await podman.exited;
  }
});
