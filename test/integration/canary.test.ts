import { afterAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { startBuildkit } from "../support/buildkitd.ts";
import { sandbox, sh } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";

/* Twenty secrets go into a build by every door there is; none is found in anything that is left. */

const buildkit = await startBuildkit();
afterAll(async () => await buildkit[Symbol.asyncDispose]());

/** Such as people have: letters and digits, with what JSON, shells and addresses must escape. */
function canary(i: number): string {
  const odd = ["", "+/=", '"quoted"', "a b&c", "$x`y", "%41", "{}", "\\back"][i % 8];
  return `canary${i}-${crypto.randomUUID().slice(0, 13)}${odd}`;
}

for (const kind of ["the engine", "buildkitd"])
  test(`twenty secrets by args, secrets, registries, env and addresses leave no trace, built by ${kind}`, async () => {
    using box = sandbox();
    const secrets = Array.from({ length: 20 }, (_, i) => canary(i));
    const at = (i: number): string => secrets[i] ?? "";
    await box.ok(["apps", "create", "shop"]);
    for (const i of [0, 1, 2])
      await box.ok(["registries", "add", `r${i}.example.com`, "-u", "me", "--password-stdin"], {
        stdin: at(i),
      });
    await box.ok(["rack", "params", "set", "docker_hub_username=me", `docker_hub_password=${at(3)}`]);
    await box.ok([
      "env",
      "set",
      `DATABASE_PASSWORD=${at(4)}`,
      `API_TOKEN=${at(5)}`,
      `AUTH_KEY=${at(6)}`,
      "-a",
      "shop",
    ]);
    for (const i of [7, 8, 9, 10]) await writeFile(box.join(`secret${i}`), at(i));
    const flags = [
      ...[7, 8, 9, 10].flatMap((i) => ["--secret", `id=s${i},src=${box.join(`secret${i}`)}`]),
      ...[11, 12, 13].flatMap((i) => ["--secret", `id=s${i},env=SECRET_${i}`]),
      ...[14, 15, 16, 17].flatMap((i) => ["--build-args", `ARG_TOKEN_${i}=${at(i)}`]),
      ...["--build-args", "BUILD_AUTH"],
      ...(kind === "buildkitd" ? ["--provenance", "mode=min"] : []),
    ];
    const mounts = [7, 8, 9, 10, 11, 12, 13].map((i) => `--mount=type=secret,id=s${i}`).join(" ");
    const args = [
      "DATABASE_PASSWORD",
      "API_TOKEN",
      "AUTH_KEY",
      "BUILD_AUTH",
      ...[14, 15, 16, 17].map((i) => `ARG_TOKEN_${i}`),
    ];
    const dir = await project(box.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}ARG NONCE=${crypto.randomUUID()}\n${args.map((name) => `ARG ${name}`).join("\n")}\nRUN ${mounts} cat /run/secrets/*; env\n`,
    });
    const env = {
      ...Object.fromEntries([11, 12, 13].map((i) => [`SECRET_${i}`, at(i)])),
      ...(kind === "buildkitd" ? { BUILDKIT_HOST: buildkit.address } : {}),
    };
    const built = await box.run(["build", "-a", "shop", "--json", ...flags], { cwd: dir, env });
    expect([kind, built.code, built.stderr.includes("[REDACTED]")]).toEqual([kind, 0, true]);
    const address = `https://user:${encodeURIComponent(at(18))}@127.0.0.1:1/x.git`;
    const failed = await box.run(["build", address, "-a", "shop"]);
    const copied = await box.run(["push", "x.tar", `127.0.0.1:1/x:1`], {
      env: {
        DOCKER_AUTH_CONFIG: JSON.stringify({
          auths: { "127.0.0.1:1": { auth: Buffer.from(`u:${at(19)}`).toString("base64") } },
        }),
      },
    });
    const bundle = box.join("bundle.tar");
    await box.ok(["builds", "export", JSON.parse(built.stdout).id, "-a", "shop", "-f", bundle]);
    await sh(["mkdir", "-p", box.join("unpacked")]);
    await sh(["tar", "-xf", bundle, "-C", box.join("unpacked")]);
    const log = await box.ok(["builds", "logs", JSON.parse(built.stdout).id, "-a", "shop"]);
    const said = [built, failed, copied].flatMap(({ stdout, stderr }) => [stdout, stderr]).join("\n") + log;
    await writeFile(box.join("unpacked/said"), said);
    for (const [i, secret] of secrets.entries())
      for (const form of new Set([
        secret,
        JSON.stringify(secret).slice(1, -1),
        encodeURIComponent(secret),
        Buffer.from(secret).toString("base64"),
      ])) {
        const hits = await sh([
          "grep",
          "-rlF",
          "--binary-files=text",
          "-e",
          form,
          box.join("home"),
          box.join("unpacked"),
        ]).catch(() => "");
        expect([i, hits]).toEqual([i, ""]);
      }
  }, 90_000);
