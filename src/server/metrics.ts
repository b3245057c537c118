import type { ServedRack } from "../rack/served-rack.ts";

/** Upper ends of the classes that durations are counted in, in seconds. */
const BUCKETS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60];

/** How the server is doing, in Prometheus's text format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
export class Metrics {
  readonly #served: ServedRack;
  readonly #requests = new Map<string, number>();
  readonly #durations = new Array<number>(BUCKETS.length + 1).fill(0);
  #seconds = 0;

  constructor(served: ServedRack) {
    this.#served = served;
  }

  served(method: string, status: number, milliseconds: number): void {
    const known = /^(GET|HEAD|POST|PUT|PATCH|DELETE)$/.test(method) ? method : "OTHER";
    const labels = `method="${known}",status="${status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
    const seconds = milliseconds / 1000;
    const bucket = BUCKETS.findIndex((end) => seconds <= end);
    const place = bucket < 0 ? BUCKETS.length : bucket;
    this.#durations[place] = (this.#durations[place] ?? 0) + 1;
    this.#seconds += seconds;
  }

  answer(): Response {
    const lines = ["# TYPE davit_requests_total counter"];
    for (const [labels, count] of this.#requests) lines.push(`davit_requests_total{${labels}} ${count}`);
    lines.push("# TYPE davit_request_seconds histogram");
    let sum = 0;
    for (const [i, count] of this.#durations.entries()) {
      sum += count;
      lines.push(`davit_request_seconds_bucket{le="${BUCKETS[i] ?? "+Inf"}"} ${sum}`);
    }
    lines.push(`davit_request_seconds_sum ${this.#seconds.toFixed(3)}`, `davit_request_seconds_count ${sum}`);
    lines.push("# TYPE davit_builds_running gauge", `davit_builds_running ${this.#served.queue.running}`);
    lines.push(
      "# TYPE davit_builds_waiting gauge",
      `davit_builds_waiting ${this.#served.queue.waiting.length}`,
    );
    const { rss } = process.memoryUsage();
    lines.push("# TYPE process_resident_memory_bytes gauge", `process_resident_memory_bytes ${rss}`);
    return new Response(`${lines.join("\n")}\n`, {
      headers: { "content-type": "text/plain; version=0.0.4" },
    });
  }
}
