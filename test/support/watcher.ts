import { readFileSync } from "node:fs";

/* Asks two servers for `/check` every 20 ms until its input ends, and says how slow each was. */
const [url = "", control = "", pid = ""] = process.argv.slice(2);
const seen = { slowest: 0, held: 0, control: 0, failures: 0 };
let over = false;

/** How long the server's main thread has waited for a processor that others had, in milliseconds. */
function waited(): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0;
  }
}

async function ask(address: string, note: (milliseconds: number, waited: number) => void): Promise<void> {
  while (!over) {
    const [began, before] = [performance.now(), waited()];
    const text = await fetch(`${address}/check`, { signal: AbortSignal.timeout(60_000) })
      .then((response) => response.text())
      .catch(() => "");
    if (!over && text !== "ok") seen.failures++;
    note(performance.now() - began, waited() - before);
    await Bun.sleep(20);
  }
}

void Bun.stdin.text().then(() => {
  over = true;
});
await Promise.all([
  ask(url, (milliseconds, others) => {
    seen.slowest = Math.max(seen.slowest, milliseconds);
    seen.held = Math.max(seen.held, milliseconds - others);
  }),
  ask(control, (milliseconds) => {
    seen.control = Math.max(seen.control, milliseconds);
  }),
]);
process.stdout.write(JSON.stringify(seen));
