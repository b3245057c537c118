export {};

/* Asks two servers for `/check` every 20 ms until its input ends, and says how slow each was. */
const [url = "", control = ""] = process.argv.slice(2);
const slowest = { url: 0, control: 0 };
let failures = 0;
let over = false;

async function ask(which: keyof typeof slowest, address: string): Promise<void> {
  while (!over) {
    const began = performance.now();
    const text = await fetch(`${address}/check`, { signal: AbortSignal.timeout(60_000) })
      .then((response) => response.text())
      .catch(() => "");
    if (!over && text !== "ok") failures++;
    slowest[which] = Math.max(slowest[which], performance.now() - began);
    await Bun.sleep(20);
  }
}

void Bun.stdin.text().then(() => {
  over = true;
});
await Promise.all([ask("url", url), ask("control", control)]);
process.stdout.write(JSON.stringify({ slowest: slowest.url, control: slowest.control, failures }));
