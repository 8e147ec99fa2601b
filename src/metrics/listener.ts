// Serves the metrics at an address of their own, to whoever reaches it: GET /metrics and nothing else.
import type { Server } from "bun";

/** How long a connection may be idle. Prometheus scrapes every 15 to 60 seconds and opens another one. */
const IDLE_S = 10;

/** The metrics cannot be served at their address. The message is the one line that the user sees. */
export class MetricsFailure extends Error {}

export class MetricsListener {
  readonly #server: Server<undefined>;

  /** `address` is BATON_METRICS_LISTEN. Throws MetricsFailure. */
  constructor(address: string, metrics: () => Promise<Response>) {
    const colon = address.lastIndexOf(":");
    const hostname = address.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
    try {
      this.#server = Bun.serve({
        hostname,
        port: Number(address.slice(colon + 1)),
        development: false,
        idleTimeout: IDLE_S,
        maxRequestBodySize: 1,
        fetch: (request) => answer(request, metrics),
        error: () => new Response("the metrics cannot be read", { status: 503 }),
      });
    } catch (error) {
      const { message } = error as Error;
      throw new MetricsFailure(`BATON_METRICS_LISTEN=${address} cannot be used: ${message}`);
    }
  }

  /** Where the metrics are. */
  get url(): string {
    return `${this.#server.url.origin}/metrics`;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }
}

async function answer(request: Request, metrics: () => Promise<Response>): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname !== "/metrics") return new Response("not found", { status: 404 });
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("method not allowed", { status: 405, headers: { allow: "GET" } });
  }
  return metrics();
}
