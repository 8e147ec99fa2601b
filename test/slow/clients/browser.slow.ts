// Debian's Chromium against a relay in a process of its own: its EventSource reconnects by itself, over a network that cuts
// connections and over a shutdown. The pages are of another origin than the relay.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { openChromium } from "../../support/browser/chromium";
import { freePort } from "../../support/machine/free-port";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** Runs in the browser: it connects as a page would, and records what it receives. */
const PAGE = `<!doctype html><title>Baton</title><script>
  const record = { received: {}, notices: [], opened: [], lost: [], state: undefined, faults: [] };
  const now = () => performance.now();
  const receive = (topic, data) => record.received[topic].push(data);

  function openEventSource(address, topics) {
    const events = new EventSource(address);
    for (const topic of topics) {
      record.received[topic] = [];
      events.addEventListener(topic, ({ data }) => receive(topic, data));
    }
    events.onmessage = ({ data }) => record.notices.push(data);
    events.onopen = () => record.opened.push(now());
    events.onerror = () => record.lost.push(now());
    setInterval(() => (record.state = events.readyState), 10);
  }

  function openResumingSocket(address, topics) {
    const since = {};
    for (const topic of topics) record.received[topic] = [];
    const connect = () => {
      const socket = new WebSocket(address + "?format=json");
      let replied = false;
      socket.onopen = () => {
        record.opened.push(now());
        socket.send(JSON.stringify({ topics, since }));
      };
      socket.onmessage = ({ data: text }) => {
        const { topics, topic, data, offset, epoch, error } = JSON.parse(text);
        if (error) record.faults.push(error.code);
        else if (topics) {
          replied = true;
          for (const [name, { offset, epoch, recovered }] of Object.entries(topics)) {
            if (recovered === false) record.notices.push(name);
            if (recovered !== true) since[name] = { offset, epoch };
          }
        } else {
          if (!replied) record.faults.push("a publication before the reply");
          receive(topic, data);
          since[topic] = { offset, epoch };
        }
      };
      socket.onclose = () => {
        record.lost.push(now());
        setTimeout(connect, 50);
      };
    };
    connect();
  }
</script>`;

interface Registered {
  readonly url: string;
  readonly sse: string;
}

/** What the page has recorded. */
interface PageRecord {
  /** The data of the publications of each topic. */
  readonly received: Record<string, string[]>;
  /** The data of events without a name, or topics that were not recovered. */
  readonly notices: string[];
  /** When a connection was opened, and when one was lost, in ms. */
  readonly opened: number[];
  readonly lost: number[];
  /** Of the EventSource: 0 while it reconnects, 1 when it is open, 2 when it has stopped for good. */
  readonly state: number;
  readonly faults: string[];
}

const TOPICS = ["left & right", "über"];

let browser: Browser;
let site: ReturnType<typeof Bun.serve>;
beforeAll(async () => {
  browser = await openChromium();
  const headers = { "content-type": "text/html; charset=utf-8" };
  site = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response(PAGE, { headers }),
  });
});
afterAll(async () => {
  await browser?.close();
  await site?.stop(true);
});

const pages: Page[] = [];
beforeEach(() => void pages.splice(0));
afterEach(async () => {
  for (const page of pages) await page.close();
});

/** Opens a page of another origin and calls one of its functions. */
async function open(
  call: "openEventSource" | "openResumingSocket",
  address: string,
  topics = TOPICS,
): Promise<Page> {
  const page = await browser.newPage();
  pages.push(page);
  await page.goto(`http://localhost:${site.port}/`);
  await page.evaluate(`${call}(${JSON.stringify(address)}, ${JSON.stringify(topics)})`);
  return page;
}

const recordOf = (page: Page): Promise<PageRecord> =>
  page.evaluate("record") as Promise<PageRecord>;

async function register(relay: RelayProcess, user: number | string = 1): Promise<Registered> {
  const answer = await relay.post("/register", { user_id: user, topics: TOPICS });
  return (await answer.json()) as Registered;
}

async function publish(relay: RelayProcess, topic: string, message: string): Promise<number> {
  const answer = await relay.post("/publish", { topic, message });
  return ((await answer.json()) as { delivered: number }).delivered;
}

const isOpen = (page: Page) => async () => (await recordOf(page)).opened.length > 0;

/** Resolves when it has had so many connections. */
const untilOpened = (page: Page, count: number) =>
  until(`${count} connections`, async () => (await recordOf(page)).opened.length >= count);

/** Publishes m0, m1… to both topics in turn, at this rate. */
async function publishAll(relay: RelayProcess, count: number, perSecond: number): Promise<void> {
  const begun = performance.now();
  for (let i = 0; i < count; i++) {
    const due = begun + (i * 1_000) / perSecond;
    await until("the next message's time", () => performance.now() >= due);
    await publish(relay, TOPICS[i % 2] as string, `m${i}`);
  }
}

/** Expects every message of each topic, once and in order. */
async function expectAll(page: Page, count: number, note: string): Promise<void> {
  const all = Array.from({ length: count }, (_, i) => `m${i}`);
  const arrived = async () => Object.values((await recordOf(page)).received).flat().length >= count;
  // What is missing after that is shown below.
  await until("all messages to arrive", arrived).catch(() => {});
  const { received, notices, faults } = await recordOf(page);
  for (const [i, topic] of TOPICS.entries()) {
    expect(received[topic], note).toEqual(all.filter((_, k) => k % 2 === i));
  }
  expect([notices, faults], note).toEqual([[], []]);
}

describe("the browser's EventSource", () => {
  test("receives 300 messages of two topics once and in order over a network that cuts connections", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    const { sse } = await register(relay);
    const page = await open("openEventSource", network.through(sse));
    await until("it to be open", isOpen(page));
    network.cutEach(50, 1_500);
    await publishAll(relay, 300, 15);
    await untilOpened(page, 5);
    network.keepAll();
    await expectAll(page, 300, `seed ${network.seed}`);
    // The last cut may have come after the last message.
    await until("it to be open again", async () => (await recordOf(page)).state === 1);
    const { opened, lost } = await recordOf(page);
    // It waits as long as the relay has told it, from 1 to 2 s, before it reconnects; by default Chromium waits 3 s.
    const pauses = opened.slice(1).map((at) => at - Math.max(...lost.filter((end) => end < at)));
    expect(Math.min(...pauses)).toBeGreaterThan(950);
    expect(Math.min(...pauses)).toBeLessThan(2_900);
  });

  test("receives an event without a name when the relay has not kept all that it missed, then what is live", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "10" });
    await using network = await TcpProxy.start(relay.url);
    const { sse } = await register(relay);
    const page = await open("openEventSource", network.through(sse));
    await until("it to be open", isOpen(page));
    network.cutAll();
    for (let i = 0; i < 20; i++) await publish(relay, TOPICS[0] as string, `m${i}`);
    await until("the notice", async () => (await recordOf(page)).notices.length > 0);
    const { received, notices } = await recordOf(page);
    expect(received[TOPICS[0] as string]).toEqual([]);
    const { topics } = JSON.parse(notices[0] as string);
    expect(topics[TOPICS[0] as string]).toMatchObject({ offset: 20, recovered: false });
    expect(topics[TOPICS[1] as string]).toMatchObject({ offset: 0, recovered: true });
    expect(await publish(relay, TOPICS[0] as string, "live")).toBe(1);
    const arrived = async () =>
      (await recordOf(page)).received[TOPICS[0] as string]?.[0] === "live";
    await until("the live message", arrived);
  });

  test("whose id another one has claimed does not reconnect to claim it back", async () => {
    await using relay = await RelayProcess.start();
    const { sse } = await register(relay);
    const older = await open("openEventSource", sse);
    await until("the first to be open", isOpen(older));
    const newer = await open("openEventSource", sse);
    await until("the second to be open", isOpen(newer));
    await until("the first to be ended", async () => (await recordOf(older)).lost.length > 0);
    const begun = performance.now();
    await until("5 s to pass", () => performance.now() - begun > 5_000);
    expect((await recordOf(older)).opened).toHaveLength(1);
    expect((await recordOf(newer)).opened).toHaveLength(1);
    expect((await recordOf(newer)).lost).toEqual([]);
    expect(await publish(relay, TOPICS[0] as string, "m")).toBe(1);
  });

  test("stops when its registration is deleted", async () => {
    await using relay = await RelayProcess.start();
    const { sse } = await register(relay);
    const page = await open("openEventSource", sse);
    await until("it to be open", isOpen(page));
    await fetch(sse.replace("/sse/", "/register/"), { method: "DELETE" });
    await until("it to stop", async () => (await recordOf(page)).state === 2);
    expect((await recordOf(page)).opened).toHaveLength(1);
  });

  test("reconnects while a relay shuts down and until another one starts, and stops at the 404 of that one", async () => {
    // Longer than they wait before they reconnect, so that some reconnect while the relay is still there.
    const PORT = `${freePort()}`;
    await using relay = await RelayProcess.start({ PORT, BATON_SHUTDOWN_MS: "6000" });
    const five = await Promise.all(
      [1, 2, 3, 4, 5].map(async (user) =>
        open("openEventSource", (await register(relay, user)).sse),
      ),
    );
    for (const page of five) await until("it to be open", isOpen(page));
    expect(await publish(relay, TOPICS[0] as string, "before")).toBe(5);
    relay.signal("SIGTERM");
    expect(await relay.exited).toBe(0);
    const states = () => Promise.all(five.map(async (page) => (await recordOf(page)).state));
    const begun = performance.now();
    await until("2 s more to pass", () => performance.now() - begun > 2_000);
    expect(await states()).toEqual([0, 0, 0, 0, 0]);
    const reopened = (await Promise.all(five.map(recordOf))).filter(
      ({ opened }) => opened.length > 1,
    );
    expect(reopened.length).toBeGreaterThan(0);
    // The next relay has a memory of its own and knows none of the ids.
    await using next = await RelayProcess.start({ PORT });
    const haveStopped = async () => (await states()).every((state) => state === 2);
    await until("all to stop", haveStopped);
    expect(await publish(next, TOPICS[0] as string, "after")).toBe(0);
    for (const page of five) {
      const { received, notices } = await recordOf(page);
      expect([received[TOPICS[0] as string], notices]).toEqual([["before"], []]);
    }
  });
});

describe("the browser's WebSocket", () => {
  test("with format=json and a few lines of script receives 300 messages once and in order over such a network", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    const { url } = await register(relay);
    const page = await open("openResumingSocket", network.through(url));
    await until("it to be open", isOpen(page));
    network.cutEach(20, 800);
    await publishAll(relay, 300, 30);
    await untilOpened(page, 11);
    network.keepAll();
    await expectAll(page, 300, `seed ${network.seed}`);
  });
});
