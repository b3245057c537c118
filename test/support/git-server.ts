import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type sandbox, sh } from "./davit.ts";
import { freePort } from "./registry.ts";

type Box = ReturnType<typeof sandbox>;

const BACKEND = "/usr/lib/git-core/git-http-backend";

/** A repository with files on its main branch; git as nobody in particular. */
export async function repository(box: Box, name: string, dir: string): Promise<string> {
  const bare = box.join(`repositories/${name}.git`);
  await mkdir(box.join("repositories"), { recursive: true });
  await git(box, dir, ["init", "-q", "-b", "main"]);
  await git(box, dir, ["add", "-A"]);
  await git(box, dir, ["commit", "-q", "-m", "first"]);
  await git(box, dir, ["clone", "-q", "--bare", dir, bare]);
  await git(box, bare, ["config", "http.receivepack", "false"]);
  return bare;
}

export async function git(box: Box, dir: string, args: string[]): Promise<string> {
  const who = {
    GIT_AUTHOR_NAME: "a",
    GIT_AUTHOR_EMAIL: "a@example.com",
    GIT_COMMITTER_NAME: "a",
    GIT_COMMITTER_EMAIL: "a@example.com",
  };
  const env = {
    ...process.env,
    ...who,
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
    HOME: box.path,
  };
  return (await sh(["git", "-C", dir, ...args], { env })).trim();
}

/** Repositories over https, with git's own CGI program, for one login. */
export async function serveHttps(box: Box, login: string) {
  await mkdir(box.join("tls"), { recursive: true });
  await writeFile(box.join("tls/san"), "subjectAltName=IP:127.0.0.1\n");
  const [key, cert] = [box.join("tls/git.key"), box.join("tls/git.crt")];
  await sh([
    "openssl",
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    key,
    "-out",
    cert,
    "-days",
    "2",
    "-subj",
    "/CN=127.0.0.1",
    "-addext",
    "subjectAltName=IP:127.0.0.1",
  ]);
  const expected = `Basic ${Buffer.from(login).toString("base64")}`;
  const server = Bun.serve({
    ...{ hostname: "127.0.0.1", port: 0 },
    tls: { key: Bun.file(key), cert: Bun.file(cert) },
    fetch: async (request) => {
      if (request.headers.get("authorization") !== expected)
        return new Response("", { status: 401, headers: { "www-authenticate": 'Basic realm="git"' } });
      return await cgi(request, box.join("repositories"));
    },
  });
  return {
    host: `127.0.0.1:${server.port}`,
    cert,
    [Symbol.asyncDispose]: async () => await server.stop(true),
  };
}

async function cgi(request: Request, root: string): Promise<Response> {
  const url = new URL(request.url);
  const body = new Uint8Array(await request.arrayBuffer());
  const child = Bun.spawn([BACKEND], {
    env: {
      ...{ PATH: process.env["PATH"], GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: "1", REMOTE_USER: "git" },
      ...{ REQUEST_METHOD: request.method, PATH_INFO: url.pathname, QUERY_STRING: url.search.slice(1) },
      CONTENT_TYPE: request.headers.get("content-type") ?? "",
      CONTENT_LENGTH: String(body.byteLength),
      HTTP_CONTENT_ENCODING: request.headers.get("content-encoding") ?? "",
      GIT_PROTOCOL: request.headers.get("git-protocol") ?? "",
    },
    ...{ stdin: body, stdout: "pipe", stderr: "ignore" },
  });
  const answer = Buffer.from(await new Response(child.stdout).arrayBuffer());
  const end = answer.indexOf("\r\n\r\n");
  const headers = new Headers();
  for (const line of answer.toString("latin1", 0, end).split("\r\n")) {
    const [name = "", value = ""] = line.split(/: (.*)/);
    headers.set(name, value);
  }
  const status = Number.parseInt(headers.get("status") ?? "200", 10);
  headers.delete("status");
  return new Response(answer.subarray(end + 4), { status, headers });
}

/** Repositories over ssh, for one key; `settings` are sshd's. */
export async function serveSsh(box: Box, more: string[] = []) {
  const port = await freePort();
  const [host, user] = [box.join("ssh-host"), box.join("ssh-user")];
  for (const file of [host, user]) await sh(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]);
  await mkdir("/run/sshd", { recursive: true });
  const settings = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${host}`,
    `AuthorizedKeysFile ${user}.pub`,
    "StrictModes no",
    "UsePAM no",
    "PidFile none",
    "PasswordAuthentication no",
    "PermitRootLogin prohibit-password",
    ...more,
  ];
  await writeFile(box.join("sshd_config"), `${settings.join("\n")}\n`);
  const child = Bun.spawn(["/usr/sbin/sshd", "-D", "-e", "-f", box.join("sshd_config")], {
    stdout: "ignore",
    stderr: "ignore",
  });
  await Bun.sleep(300);
  const me = (await sh(["id", "-un"])).trim();
  return {
    key: user,
    host: `${me}@127.0.0.1:${port}`,
    address: (name: string, password = "") =>
      `ssh://${me}${password === "" ? "" : `:${encodeURIComponent(password)}`}@127.0.0.1:${port}${join(box.join("repositories"), name)}.git`,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}
