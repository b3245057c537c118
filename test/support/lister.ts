export {};

/*
 * Clients that list an app's builds again and again, in a process of their own, so that
 * what they measure is the server's time: `bun lister.ts URL AUTHORIZATION CLIENTS SECONDS`.
 * Prints the durations in milliseconds and the errors as JSON.
 */
const [url = "", authorization = "", clients = "1", seconds = "1"] = process.argv.slice(2);
const until = performance.now() + Number(seconds) * 1000;
const latencies: number[] = [];
const errors: string[] = [];

async function list(): Promise<void> {
  while (performance.now() < until) {
    const began = performance.now();
    try {
      const response = await fetch(`${url}/apps/shop/builds`, { headers: { authorization } });
      const text = await response.text();
      if (response.ok) latencies.push(performance.now() - began);
      else errors.push(`${response.status} ${text}`);
    } catch (error) {
      errors.push(String(error));
    }
    await Bun.sleep(50);
  }
}

await Promise.all(Array.from({ length: Number(clients) }, list));
process.stdout.write(JSON.stringify({ latencies, errors: errors.slice(0, 20) }));
