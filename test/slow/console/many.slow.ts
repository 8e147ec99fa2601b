// The console of a relay with much to show: thousands of connections in a thousand topics, while publications go to all of them.
// What the page holds and what it asks for stays as small as with a few, and the clients lose nothing meanwhile.
import { expect, test } from "bun:test";
import { openChromium } from "../../support/browser/chromium";
import { faults, KEY, openConsole, rowsOf } from "../../support/browser/console-page";
import { Caller } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const TOPICS = 1_000;
const CLIENTS = 3_000;

/** Clients that connect at once. */
const HANDSHAKES = 32;

/** Publications in one request. */
const BATCH = 100;

const GREETING = "hello";

/** Rows of a list. */
const ROWS_MAX = 25;

const REFRESHES = 20;

/** Clients that check that everything in their topic comes once and in order; each topic has the same number of them. */
class Clients {
  readonly #next: number[] = Array(CLIENTS).fill(0);
  readonly #sockets: WebSocket[] = [];
  readonly #published = new Uint32Array(TOPICS);
  readonly #subscribed = new Set<number>();
  received = 0;
  misplaced = 0;

  async connect(caller: Caller): Promise<void> {
    let started = 0;
    const connectOneByOne = async () => {
      while (started < CLIENTS) await this.#connect(caller, started++);
    };
    await Promise.all(Array.from({ length: HANDSHAKES }, connectOneByOne));
    // A worker that has a client follows its topic a moment later.
    await until("all to be subscribed", async () => {
      const greetings = Array.from({ length: TOPICS }, (_, i) => ({
        topic: `topic ${i}`,
        message: GREETING,
      }));
      await caller.post("/publish", greetings);
      return this.#subscribed.size === CLIENTS;
    });
  }

  /** Publishes until it is stopped, each time when all clients have what was published before. */
  publish(caller: Caller): { stop(): Promise<number> } {
    let isOn = true;
    let batches = 0;
    const run = async () => {
      for (; isOn; batches++) {
        const batch = Array.from({ length: BATCH }, (_, i) => {
          const topic = (batches * BATCH + i) % TOPICS;
          const number = this.#published[topic] as number;
          this.#published[topic] = number + 1;
          return { topic: `topic ${topic}`, message: String(number) };
        });
        await caller.post("/publish", batch);
        const expected = (batches + 1) * BATCH * (CLIENTS / TOPICS);
        await until("all clients to have it", () => this.received >= expected);
      }
      return batches * BATCH;
    };
    const running = run();
    running.catch(() => {});
    return {
      stop() {
        isOn = false;
        return running;
      },
    };
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async #connect(caller: Caller, client: number): Promise<void> {
    const topics = [`topic ${client % TOPICS}`];
    const { json } = await caller.post("/register", { user_id: `user ${client}`, topics });
    const socket = new WebSocket(json.url);
    this.#sockets.push(socket);
    socket.onmessage = ({ data }) => {
      this.#subscribed.add(client);
      if (data === GREETING) return;
      this.received++;
      if (Number(data) !== this.#next[client]) this.misplaced++;
      this.#next[client] = Number(data) + 1;
    };
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onclose = reject;
    });
  }
}

test("with 3,000 connections in 1,000 topics every list is found, searched and refreshed, the page does not grow, and nothing is lost", async () => {
  await using relay = await RelayProcess.start({ BATON_API_KEYS: KEY, BATON_WORKERS: "2" });
  await using caller = new Caller({ urls: [relay.url] } as never, KEY);
  using clients = new Clients();
  // Before the relay is stopped, so that a test that fails leaves no page that asks for it.
  await using browser = await openChromium();
  await clients.connect(caller);
  const load = clients.publish(caller);

  const page = await openConsole(browser, relay.url, "overview");
  const connections = page.locator("figure").filter({ hasText: "Connections" }).locator(".now");
  // The console is a client too.
  await until("all connections", async () => (await connections.textContent()) === "3,001");

  const search = async (view: string, table: string, text: string): Promise<string[]> => {
    await page.evaluate(`location.hash = ${JSON.stringify(view)}`);
    await until("a full page", async () => (await rowsOf(page, table)).length === ROWS_MAX);
    await page.getByRole("searchbox").fill(text);
    await until("what was searched", async () => (await rowsOf(page, table)).length === 11);
    return (await rowsOf(page, table)).map(([name = ""]) => name).toSorted();
  };
  const tenOf = (name: string) => [name, ...Array.from({ length: 10 }, (_, i) => `${name}${i}`)];
  expect(await search("users", "Users", "user 123")).toEqual(tenOf("user 123"));
  expect(await search("topics", "Topics", "topic 77")).toEqual(tenOf("topic 77"));

  await page.getByRole("searchbox").fill("");
  await until("a full page", async () => (await rowsOf(page, "Topics")).length === ROWS_MAX);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");
  /** What the page holds when all that it has dropped is gone. */
  const held = async () => {
    await devtools.send("HeapProfiler.collectGarbage");
    const { metrics } = await devtools.send("Performance.getMetrics");
    const metric = (name: string) => metrics.find((one) => one.name === name)?.value ?? Number.NaN;
    return { nodes: metric("Nodes"), listeners: metric("JSEventListeners") };
  };
  const before = await held();
  for (let i = 0; i < REFRESHES; i++) {
    const answered = page.waitForResponse(/\/topics\?/);
    // What the timer does every two seconds.
    await page.getByRole("searchbox").dispatchEvent("input");
    await answered;
  }
  await until("what the refreshes dropped to be gone", async () => {
    const after = await held();
    return after.nodes < 1.2 * before.nodes && after.listeners < 1.2 * before.listeners;
  });
  expect(await page.locator("main *").count()).toBeLessThan(500);

  const published = await load.stop();
  expect(published).toBeGreaterThan(0);
  expect([clients.received, clients.misplaced]).toEqual([published * (CLIENTS / TOPICS), 0]);
  await page.close();
  expect(faults).toEqual([]);
});
