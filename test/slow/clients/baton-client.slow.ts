// baton/client in Debian's Chromium, as a page of another origin imports it from the relay, and over a replacement of all workers.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { connect } from "../../../src/client/client";
import { openChromium } from "../../support/browser/chromium";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { RelayWithWorkers, RetryingPublisher } from "../../support/relay/relay-with-workers";
import { until } from "../../support/wait";

const TOPICS = ["left & right", "__proto__"];

/** It waits no longer than 0.3 s before it reconnects, and looks 20 times as often whether the relay is there. */
const PAGE = `<!doctype html><title>Baton</title><script type="module">
  const [relay, network] = new URLSearchParams(location.search).getAll("to");
  const { connect } = await import(relay + "/client.js");
  Math.random = () => 0.01;
  const every = setInterval;
  window.setInterval = (work, ms) => every(work, ms / 20);
  window.record = { received: [[], []], lost: [], states: [], asked: 0 };
  const client = connect(async () => {
    record.asked++;
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ user_id: "a user" });
    const answer = await fetch(relay + "/register", { method: "POST", headers, body });
    record.url = (await answer.json()).url;
    return record.url.replace(/\\d+(?=\\/ws)/, network);
  }, { onState: (state, why) => record.states.push(why ? state + " " + why.code : state) });
  ${JSON.stringify(TOPICS)}.forEach((topic, i) => {
    client.on(topic, (data) => record.received[i].push(data), { onLost: (name) => record.lost.push(name) });
  });
</script>`;

interface PageRecord {
  /** Of each topic. */
  readonly received: number[][];
  readonly lost: string[];
  readonly states: string[];
  readonly asked: number;
  readonly url: string;
}

let browser: Browser;
let site: ReturnType<typeof Bun.serve>;
beforeAll(async () => {
  browser = await openChromium();
  const headers = { "content-type": "text/html; charset=utf-8" };
  const fetch = () => new Response(PAGE, { headers });
  site = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch });
});
afterAll(async () => {
  await browser?.close();
  await site?.stop(true);
});

const pages: Page[] = [];
afterEach(async () => {
  for (const page of pages.splice(0)) await page.close();
});

const recordOf = (page: Page): Promise<PageRecord> =>
  page.evaluate("window.record ?? { states: [] }") as Promise<PageRecord>;

const untilState = (page: Page, last: string): Promise<void> =>
  until(`the state ${last}`, async () => (await recordOf(page)).states.at(-1) === last);

/** Opens a page of another origin, whose client connects through this network. */
async function open(relay: RelayProcess, network: TcpProxy): Promise<Page> {
  const page = await browser.newPage();
  pages.push(page);
  const { port } = new URL(network.through(relay.url));
  const to = new URLSearchParams([
    ["to", relay.url],
    ["to", port],
  ]);
  await page.goto(`http://localhost:${site.port}/?${to}`);
  await untilState(page, "open");
  return page;
}

async function publish(relay: RelayProcess, from: number, to: number): Promise<void> {
  for (let data = from; data < to; data++) {
    for (const topic of TOPICS) await relay.post("/publish", { topic, data });
  }
}

/** Expects the numbers up to this one in each topic, once and in order, and that none was reported as lost. */
async function expectAll(page: Page, count: number, note: string): Promise<void> {
  const all = Array.from({ length: count }, (_, i) => i);
  const haveAll = async () =>
    (await recordOf(page)).received.every((numbers) => numbers.length >= count);
  // What is missing after that is shown below.
  await until("all messages", haveAll).catch(() => {});
  const { received, lost } = await recordOf(page);
  expect([received, lost], note).toEqual([[all, all], []]);
}

describe("in Chromium", () => {
  test("two tabs get 300 messages each, once and in order, over a network that cuts connections", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    const tabs = [await open(relay, network), await open(relay, network)];
    network.cutEach(20, 300);
    for (let i = 0; i < 10; i++) {
      await publish(relay, 15 * i, 15 * i + 15);
      const { cuts } = network;
      await until("two cuts", () => network.cuts > cuts + 1);
    }
    network.keepAll();
    for (const page of tabs) {
      await expectAll(page, 150, `seed ${network.seed}`);
      const { states, asked } = await recordOf(page);
      const losses = states.filter((state) => state === "connecting 1006").length;
      expect(losses).toBeGreaterThan(3);
      expect(asked).toBeLessThan(losses);
    }
  });

  test("a connection that dies without a word is noticed, and costs neither a message nor a registration", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    const page = await open(relay, network);
    await publish(relay, 0, 5);
    await expectAll(page, 5, "before");
    network.stall();
    network.heal();
    await publish(relay, 5, 10);
    await expectAll(page, 10, "after");
    const { states, asked } = await recordOf(page);
    expect([states, asked]).toEqual([["open", "connecting 1006", "open"], 1]);
  });

  test("a deleted registration is final, and the page is told", async () => {
    await using relay = await RelayProcess.start();
    await using network = await TcpProxy.start(relay.url);
    const page = await open(relay, network);
    const { url } = await recordOf(page);
    await fetch(`${relay.url}/register/${url.slice(-32)}`, { method: "DELETE" });
    await untilState(page, "closed 4503");
    expect((await recordOf(page)).asked).toBe(1);
  });
});

test("F11: twelve clients get everything, once and in order, while all workers are replaced three times", async () => {
  await using relay = await RelayWithWorkers.start();
  const received: string[][] = [];
  const lost: string[] = [];
  let asked = 0;
  const clients = Array.from({ length: 12 }, (_, user) => {
    const data: string[] = [];
    received.push(data);
    const client = connect(async () => {
      asked++;
      return `${relay.process.url.replace("http", "ws")}/ws/${await relay.caller.register(user)}`;
    });
    const onLost = (topic: string) => lost.push(topic);
    client.on("t", (message) => data.push(String(message)), { onLost });
    return client;
  });
  const areOpen = () => clients.every(({ state }) => state === "open");
  await until("all to be open", areOpen);
  const publisher = new RetryingPublisher(relay, "t");
  for (let round = 0; round < 3; round++) {
    const before = await relay.workers();
    relay.process.signal("SIGHUP");
    await relay.untilReplaced(before);
    await until("all to be open", areOpen);
  }
  const published = await publisher.stop();
  const haveAll = () => received.every(({ length }) => length >= published.length);
  // What is missing after that is shown below.
  await until("all messages", haveAll).catch(() => {});
  for (const data of received) expect(data).toEqual(published);
  expect(lost).toEqual([]);
  // An address outlives the worker that served it. An old worker refuses one now and then, which is no reason to ask for another.
  expect(asked).toBeLessThan(2 * clients.length);
  for (const client of clients) client.close();
});
