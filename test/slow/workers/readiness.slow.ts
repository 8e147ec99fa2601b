// From the first 200 of GET /health on, every call on the port is served, whichever worker takes the connection. Rows F1 and F11.
import { describe, expect, test } from "bun:test";
import { RawSocket } from "../../support/clients/raw-socket";
import { inFull } from "../../support/in-full";
import { freePort } from "../../support/machine/free-port";
import { childrenOf } from "../../support/machine/processes";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const WORKERS = inFull(8, 4);
const CALLS = 400;

/** How often all workers are replaced. */
const ROUNDS = inFull(5, 2);

/** The kernel resets what comes in between the last look at the port of a worker that is replaced and its closing. */
const isReset = (failure: string) => /ECONNRESET|closed/.test(failure);

/** Calls of all kinds to the relay at this port, each on a connection of its own. */
class Visitor {
  readonly #port: number;
  /** What was not answered with 2xx, or a handshake not with 101. */
  readonly failures: string[] = [];
  count = 0;

  constructor(port: number) {
    this.#port = port;
  }

  async isHealthy(): Promise<boolean> {
    return (await this.#request("GET", "/health").catch(() => 0)) === 200;
  }

  /** The next of the kinds in turn. */
  async call(): Promise<void> {
    const number = this.count++;
    const name = `visitor ${number}`;
    const kinds: (() => Promise<number>)[] = [
      () => this.#request("GET", "/health"),
      () => this.#request("POST", "/publish", { topic: "t", message: name }),
      () => this.#request("POST", "/register", { user_id: name }),
      () => this.#request("GET", "/topics/t/history"),
      () => this.#request("POST", "/api/publish", { channel: "t", data: number }),
      () => this.#handshake(),
    ];
    const kind = number % kinds.length;
    const status = await (kinds[kind] as () => Promise<number>)().catch(String);
    if (status !== 200 && status !== 101) this.failures.push(`${kind}: ${status}`);
  }

  async #request(method: string, path: string, body?: unknown): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}${path}`, {
      method,
      headers: { "content-type": "application/json", connection: "close" },
      keepalive: false,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${answer.status} ${text}`);
    return answer.status;
  }

  async #handshake(): Promise<number> {
    const url = `http://127.0.0.1:${this.#port}/connection/websocket`;
    const raw = await RawSocket.upgrade(url);
    raw.drop();
    return 101;
  }
}

describe(`a relay with ${WORKERS} workers`, () => {
  test("F1: serves every call from the first 200 of GET /health on, and SIGHUP from then on replaces its workers", async () => {
    for (let round = 0; round < 2; round++) {
      const port = freePort();
      await using relay = new RelayProcess({
        PORT: String(port),
        BATON_WORKERS: String(WORKERS),
        BATON_SHUTDOWN_MS: "100",
      });
      const visitor = new Visitor(port);
      await until("the first 200", () => visitor.isHealthy());
      const before = await childrenOf(relay.pid);
      relay.signal("SIGHUP");
      for (let i = 0; i < CALLS / 20; i++) {
        await Promise.all(Array.from({ length: 20 }, () => visitor.call()));
      }
      // Where calls take long, the old workers close their ports before the last one.
      expect(visitor.failures.filter((failure) => !isReset(failure))).toEqual([]);
      expect(visitor.failures.length).toBeLessThanOrEqual(WORKERS);
      const isReplaced = async () => {
        const now = await childrenOf(relay.pid);
        return now.length === WORKERS && !now.some((pid) => before.includes(pid));
      };
      await until("the workers to be replaced", isReplaced);
    }
  });

  test("F1: SIGHUP before it listens replaces its workers once they do", async () => {
    await using relay = new RelayProcess({ BATON_WORKERS: "2", BATON_SHUTDOWN_MS: "100" });
    await until("a worker", async () => (await childrenOf(relay.pid)).length > 0);
    relay.signal("SIGHUP");
    await until("the end", () => relay.output.includes("all workers have been replaced"));
    expect(relay.output).toContain("Baton listens on");
  });
});

test("F11: while workers are replaced, no call is refused, and fewer than two in a thousand are reset", async () => {
  await using relay = await RelayProcess.start({ BATON_WORKERS: "4", BATON_SHUTDOWN_MS: "100" });
  const visitor = new Visitor(relay.port);
  // So many calls that a few resets are seldom.
  for (let round = 0; round < ROUNDS || visitor.count < 1_000 * ROUNDS; round++) {
    relay.signal("SIGHUP");
    const replaced = () =>
      relay.lines.filter(({ msg }) => msg === "all workers have been replaced").length > round;
    while (!replaced()) await Promise.all(Array.from({ length: 8 }, () => visitor.call()));
  }
  expect(visitor.failures.filter((failure) => !isReset(failure))).toEqual([]);
  expect(visitor.failures.length).toBeLessThan(visitor.count / 500);
});
