import { expect, test } from "bun:test";
import { BUILD_LOG, putBuild } from "../../src/bundle/record.ts";
import { encode } from "../../src/bytes.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { contentOf } from "../../src/oci/store.ts";
import { bundleOf, MANIFEST, RECORD, sampleBuild } from "../support/bundles.ts";
import { davitCommand, sandbox } from "../support/davit.ts";

/* What others wrote, on a real terminal: it is seen, and moves nothing. */

const HOSTILE = "evil \x1b[2J\x1b]0;title\x07\x9b31m\u202egnp\u2066\u200b\x00\rline\nOK, all is well";
const SEEN = String.raw`evil \x1b[2J\x1b]0;title\x07\x9b31m\u{202e}gnp\u{2066}\u{200b}\x00\rline`;

async function hostileBundle(): Promise<Uint8Array> {
  const { store, images } = await sampleBuild(["web"], "hostile");
  const bytes = encode(`Building: .\n#1 [1/1] RUN x\n#1 0.1 \x1b[32mgreen\x1b[0m ${HOSTILE}\n#1 DONE 0.1s\n`);
  const log = describe(BUILD_LOG, bytes);
  await store.push(log, contentOf(bytes));
  const record = { ...RECORD, description: HOSTILE, "git-sha": HOSTILE, engine: HOSTILE };
  return await bundleOf({ store, images, index: await putBuild(store, record, MANIFEST, log, images) });
}

/** Everything davit writes to a terminal of its own. */
async function onTerminal(box: ReturnType<typeof sandbox>, args: string[]): Promise<string> {
  let seen = "";
  const decoder = new TextDecoder();
  const child = Bun.spawn([...davitCommand(), ...args], {
    ...{ cwd: box.path, env: { ...box.env({ TERM: "xterm" }), NO_COLOR: undefined } },
    terminal: {
      ...{ cols: 400, rows: 24 },
      data: (_, bytes) => {
        seen += decoder.decode(bytes, { stream: true });
      },
    },
  });
  await child.exited;
  await Bun.sleep(50);
  return seen;
}

/** A text without colours and line ends, which davit writes itself. */
function bare(text: string): string {
  return text
    .replaceAll(/\x1b\[\d*m/g, "")
    .replaceAll("\r\n", "")
    .replaceAll(/\r?\x1b\[[KJ]|\x1b\[\?25[lh]/g, "");
}

test("a bundle's description, commit, engine and log act on no terminal", async () => {
  using box = sandbox();
  await Bun.write(box.join("b.tar"), await hostileBundle());
  const { id } = await box
    .json(["builds", "import", "-f", "b.tar", "-a", "shop"])
    .then((found) => [found].flat()[0]);
  for (const args of [["builds"], ["builds", "info", id], ["releases"], ["events"], ["builds", "--json"]]) {
    const text = await onTerminal(box, [...args, "-a", "shop"]);
    expect([args, bare(text).match(/[\p{Cc}\p{Cf}]/u)?.[0]]).toEqual([args, undefined]);
  }
  expect(await onTerminal(box, ["builds", "-a", "shop"])).toContain(SEEN);
  const log = await onTerminal(box, ["builds", "logs", id, "-a", "shop"]);
  expect(log).toContain("\x1b[32mgreen\x1b[0m evil ");
  expect(log).not.toMatch(/\x1b\[2J|\x1b\]|\x07|\u202e|\x9b/);
}, 60_000);

test("what a registry or a rack says of an error stays one line, and moves nothing", async () => {
  using box = sandbox();
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      new URL(request.url).pathname.startsWith("/v2")
        ? Response.json({ errors: [{ code: "X", message: HOSTILE }] }, { status: 404 })
        : Response.json({ error: HOSTILE, hint: HOSTILE }, { status: 403 }),
  });
  const host = `127.0.0.1:${server.port}`;
  await box.ok(["apps", "create", "shop"]);
  const said = [
    await onTerminal(box, ["inspect", `${host}/x:1`]),
    await onTerminal({ ...box, env: () => box.env({ RACK_URL: `http://convox:x@${host}`, TERM: "xterm" }) }, [
      "builds",
      "-a",
      "shop",
    ]),
    await onTerminal(box, ["builds", "info", HOSTILE.replaceAll("\x00", ""), "-a", "shop"]),
  ];
  for (const text of said) {
    expect(text).toMatch(/evil /);
    expect(text).not.toMatch(/^OK/m);
    expect([text, bare(text).match(/[\p{Cc}\p{Cf}]/u)?.[0]]).toEqual([text, undefined]);
  }
}, 60_000);
