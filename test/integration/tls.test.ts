import { expect, test } from "bun:test";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { sandbox, sh } from "../support/davit.ts";

/** A CA, a server's certificate for 127.0.0.1, and a client's, as openssl makes them. */
async function certificates(dir: string): Promise<void> {
  const openssl = (...args: string[]) => sh(["openssl", ...args], { cwd: dir });
  await writeFile(`${dir}/san`, "subjectAltName=IP:127.0.0.1\n");
  await openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-subj",
    "/CN=davit test CA",
    "-days",
    "2",
  );
  for (const name of ["server", "client"]) {
    await openssl(
      "req",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${name}`,
    );
    await openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.crt",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-out",
      `${name}.cert`,
      "-days",
      "2",
      "-extfile",
      "san",
    );
  }
}

test("a registry's own CA and a client certificate are taken from certs.d; without them the answer is no, or a warning", async () => {
  using box = sandbox();
  await certificates(box.path);
  const read = (name: string) => readFile(box.join(name), "utf8");
  const serve = async (more: object) =>
    Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: await read("server.cert"), key: await read("server.key"), ...more },
      fetch: () => new Response("{}", { headers: { "content-type": "application/json" } }),
    });
  const plain = await serve({});
  const mutual = await serve({ ca: await read("ca.crt"), requestCert: true, rejectUnauthorized: true });
  const env = { HOME: box.path, DOCKER_CONFIG: box.join(".docker") };
  const check = (host: string, ...flags: string[]) =>
    box.run(["registries", "check", host, ...flags], { env });
  const trust = async (host: string, files: string[]) => {
    const dir = box.join(".docker/certs.d", host);
    await mkdir(dir, { recursive: true });
    for (const file of files) await writeFile(`${dir}/${file}`, await read(file));
  };
  try {
    const host = `127.0.0.1:${plain.port}`;
    const insecure = await check(host, "--insecure", host);
    expect([insecure.code, insecure.stderr]).toEqual([
      0,
      expect.stringContaining(`certificate of ${host} is not checked`),
    ]);
    await trust(host, []);
    await trust(host, ["ca.crt"]);
    expect(await check(host)).toMatchObject({ code: 0, stdout: expect.stringContaining(`https://${host}`) });
    const both = `127.0.0.1:${mutual.port}`;
    await trust(both, ["ca.crt"]);
    expect((await check(both)).code).toBe(1);
    await trust(both, ["client.cert", "client.key"]);
    expect((await check(both)).code).toBe(0);
  } finally {
    await plain.stop(true);
    await mutual.stop(true);
  }
}, 60_000);
