import { readdir } from "node:fs/promises";
import { DOCKER, sh } from "./davit.ts";
import { project } from "./projects.ts";
import { tempDir } from "./temp.ts";

/** Debian's programs as an image, with their libraries and whatever else they need: stock ones cannot be pulled everywhere. */
async function debianImage(
  name: string,
  programs: string[],
  others: string[],
  dockerfile: string,
  host = process.env["DOCKER_HOST"],
): Promise<string> {
  using dir = tempDir();
  const ldd = (program: string): Promise<string> => sh(["ldd", program]);
  const libraries = (await Promise.all(programs.map(ldd))).flatMap((text) =>
    [...text.matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path),
  );
  await project(dir.path, { Dockerfile: `FROM scratch\nCOPY root /\n${dockerfile}` });
  await sh(["mkdir", "-p", dir.join("root/tmp")]);
  for (const path of new Set([...programs, ...libraries, ...others])) {
    await sh(["mkdir", "-p", dir.join(`root${path.slice(0, path.lastIndexOf("/"))}`)]);
    await sh(["cp", "-rL", path, dir.join(`root${path}`)]);
  }
  const env = { ...process.env, DOCKER_BUILDKIT: "1", DOCKER_HOST: host };
  await sh([DOCKER, "build", "-q", "-t", name, dir.path], { env });
  return name;
}

function program(name: string): string {
  const path = Bun.which(name);
  if (!path) throw new Error(`there is no ${name} here`);
  return path;
}

export async function caddyImage(host?: string): Promise<string> {
  return await debianImage("davit-test/caddy:2", [program("caddy")], [], "", host);
}

export async function redisImage(): Promise<string> {
  return await debianImage("davit-test/redis:7", [program("redis-server")], [], "ENV PATH=/usr/bin\n");
}

/** As the stock image is told: user, password, database. */
export async function postgresImage(): Promise<string> {
  const [version = ""] = await readdir("/usr/lib/postgresql");
  const bin = `/usr/lib/postgresql/${version}/bin`;
  const start = [
    "set -e",
    "cd /tmp; mkdir -p $PGDATA /var/run/postgresql; chown -R postgres $PGDATA /var/run/postgresql",
    'as() { su -s /bin/sh postgres -c "$*"; }',
    "if [ ! -f $PGDATA/PG_VERSION ]; then",
    '  echo "$POSTGRES_PASSWORD" >/tmp/password',
    "  as initdb -U $POSTGRES_USER --pwfile=/tmp/password -A scram-sha-256 --no-sync >/dev/null",
    '  echo "host all all all scram-sha-256" >>$PGDATA/pg_hba.conf',
    '  echo "CREATE DATABASE $POSTGRES_DB;" | as postgres --single postgres >/dev/null',
    "fi",
    'exec su -s /bin/sh postgres -c "exec postgres -c listen_addresses=* -c fsync=off"',
  ].join("\n");
  const made = `COPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "busybox --install -s /bin; chmod 1777 /tmp; echo postgres:x:70:70::/tmp:/bin/sh >/etc/passwd; echo postgres:x:70: >/etc/group"]\n`;
  return await debianImage(
    "davit-test/postgres:1",
    [`${bin}/postgres`, `${bin}/initdb`, `${bin}/psql`],
    [`/usr/lib/postgresql/${version}/lib`, `/usr/share/postgresql/${version}`, "/usr/share/zoneinfo/UTC"],
    `ENV PATH=${bin}:/bin:/usr/bin PGDATA=/var/lib/postgresql/data\n${made}ENTRYPOINT ["/bin/busybox", "sh", "-c", ${JSON.stringify(start)}]\n`,
  );
}
