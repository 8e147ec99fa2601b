// Debian's Chromium against a relay in a process of its own: its EventSource comes back by itself, over a network that
// cuts connections, and over a shutdown. Pages are of another origin than the relay.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** Runs in the browser: what a page would do, and a record of what it got. */
const PAGE = `<!doctype html><title>Baton</title><script>
  const record = { got: {}, told: [], opened: [], lost: [], state: undefined, faults: [] };
  const now = () => performance.now();
  const take = (topic, data) => record.got[topic].push(data);

  function watch(address, topics) {
    const events = new EventSource(address);
    for (const topic of topics) {
      record.got[topic] = [];
      events.addEventListener(topic, ({ data }) => take(topic, data));
    }
    events.onmessage = ({ data }) => record.told.push(data);
    events.onopen = () => record.opened.push(now());
    events.onerror = () => record.lost.push(now());
    setInterval(() => (record.state = events.readyState), 10);
  }

  function resume(address, topics) {
    const since = {};
    for (const topic of topics) record.got[topic] = [];
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
            if (recovered === false) record.told.push(name);
            if (recovered !== true) since[name] = { offset, epoch };
          }
        } else {
          if (!replied) record.faults.push("a publication before the reply");
          take(topic, data);
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

interface Seen {
  readonly got: Record<string, string[]>;
  /** Events without a name, or topics that were not recovered. */
  readonly told: string[];
  /** When it was open and when it was not any more, in ms. */
  readonly opened: number[];
  readonly lost: number[];
  /** Of the EventSource: 0 when it is coming back, 1 when it is open, 2 when it has given up. */
  readonly state: number;
  readonly faults: string[];
}

const TOPICS = ["left & right", "über"];

let browser: Browser;
let site: ReturnType<typeof Bun.serve>;
beforeAll(async () => {
  const executablePath = Bun.which("chromium");
  if (executablePath === null) {
    throw new Error("These tests need Debian's Chromium: apt-get install chromium.");
  }
  // As root, which CI is, Chromium starts only without its sandbox.
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const headers = { "content-type": "text/html; charset=utf-8" };
  site = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response(PAGE, { headers }),
  });
}, 60_000);
afterAll(async () => {
  await browser?.close();
  await site?.stop(true);
});

const pages: Page[] = [];
beforeEach(() => void pages.splice(0));
afterEach(async () => {
  for (const page of pages) await page.close();
});

/** A page of another origin that has called one of its functions. */
async function open(call: "watch" | "resume", address: string, topics = TOPICS): Promise<Page> {
  const page = await browser.newPage();
  pages.push(page);
  await page.goto(`http://localhost:${site.port}/`);
  await page.evaluate(`${call}(${JSON.stringify(address)}, ${JSON.stringify(topics)})`);
  return page;
}

const seen = (page: Page): Promise<Seen> => page.evaluate("record") as Promise<Seen>;

async function register(relay: RelayProcess, user: number | string = 1): Promise<Registered> {
  const answer = await relay.post("/register", { user_id: user, topics: TOPICS });
  return (await answer.json()) as Registered;
}

async function publish(relay: RelayProcess, topic: string, message: string): Promise<number> {
  const answer = await relay.post("/publish", { topic, message });
  return ((await answer.json()) as { delivered: number }).delivered;
}

const isOpen = (page: Page) => async () => (await seen(page)).opened.length > 0;

/** m0, m1… alternately to both topics, so many a second, while the network cuts. */
async function publishAll(relay: RelayProcess, count: number, perSecond: number): Promise<void> {
  const begun = performance.now();
  for (let i = 0; i < count; i++) {
    const due = begun + (i * 1_000) / perSecond;
    await until("the next message's time", () => performance.now() >= due);
    await publish(relay, TOPICS[i % 2] as string, `m${i}`);
  }
}

/** Every message once and in order, of each topic. */
async function expectAll(page: Page, count: number, note: string): Promise<void> {
  const all = Array.from({ length: count }, (_, i) => `m${i}`);
  const arrived = async () => Object.values((await seen(page)).got).flat().length >= count;
  // What is missing then is shown below.
  await until("all to arrive", arrived, 20_000).catch(() => {});
  const { got, told, faults } = await seen(page);
  for (const [i, topic] of TOPICS.entries()) {
    expect(got[topic], note).toEqual(all.filter((_, k) => k % 2 === i));
  }
  expect([told, faults], note).toEqual([[], []]);
}

describe("the browser's EventSource", () => {
  test("sees 300 messages of 2 topics each once and in order over a network that cuts, by itself", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    const { sse } = await register(relay);
    const page = await open("watch", network.through(sse));
    await until("it to be open", isOpen(page));
    network.cutEach(50, 1_500);
    await publishAll(relay, 300, 15);
    network.keepAll();
    await expectAll(page, 300, `seed ${network.seed}`);
    const { opened, lost, state } = await seen(page);
    expect(state).toBe(1);
    expect(opened.length).toBeGreaterThan(4);
    // It waits before it comes back as long as it was told to, from 1 to 2 s; Chromium's own is 3 s.
    const pauses = opened.slice(1).map((at) => at - Math.max(...lost.filter((end) => end < at)));
    expect(Math.min(...pauses)).toBeGreaterThan(950);
    expect(Math.min(...pauses)).toBeLessThan(2_900);
  }, 90_000);

  test("is told by an event without a name when not all it missed is kept, then goes on", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "10" });
    await using network = await TcpProxy.start(relay.url);
    const { sse } = await register(relay);
    const page = await open("watch", network.through(sse));
    await until("it to be open", isOpen(page));
    network.cutAll();
    for (let i = 0; i < 20; i++) await publish(relay, TOPICS[0] as string, `m${i}`);
    await until("it to be told", async () => (await seen(page)).told.length > 0, 10_000);
    const { got, told } = await seen(page);
    expect(got[TOPICS[0] as string]).toEqual([]);
    const { topics } = JSON.parse(told[0] as string);
    expect(topics[TOPICS[0] as string]).toMatchObject({ offset: 20, recovered: false });
    expect(topics[TOPICS[1] as string]).toMatchObject({ offset: 0, recovered: true });
    expect(await publish(relay, TOPICS[0] as string, "live")).toBe(1);
    const arrived = async () => (await seen(page)).got[TOPICS[0] as string]?.[0] === "live";
    await until("what is live", arrived);
  }, 30_000);

  test("with an id that another one has taken does not come back to take it again", async () => {
    await using relay = await RelayProcess.start();
    const { sse } = await register(relay);
    const older = await open("watch", sse);
    await until("the first to be open", isOpen(older));
    const newer = await open("watch", sse);
    await until("the second to be open", isOpen(newer));
    await until("the first to be ended", async () => (await seen(older)).lost.length > 0);
    const begun = performance.now();
    await until("5 s to pass", () => performance.now() - begun > 5_000, 10_000);
    expect((await seen(older)).opened).toHaveLength(1);
    expect((await seen(newer)).opened).toHaveLength(1);
    expect((await seen(newer)).lost).toEqual([]);
    expect(await publish(relay, TOPICS[0] as string, "m")).toBe(1);
  }, 30_000);

  test("gives up when its registration is deleted", async () => {
    await using relay = await RelayProcess.start();
    const { sse } = await register(relay);
    const page = await open("watch", sse);
    await until("it to be open", isOpen(page));
    await fetch(sse.replace("/sse/", "/register/"), { method: "DELETE" });
    await until("it to give up", async () => (await seen(page)).state === 2, 10_000);
    expect((await seen(page)).opened).toHaveLength(1);
  }, 30_000);

  test("keeps trying while a relay shuts down and until another one is there, and gives up at its 404", async () => {
    // Longer than they wait before they come back, so that some come back while it is still there.
    await using relay = await RelayProcess.start({ BATON_SHUTDOWN_MS: "6000" });
    const five = await Promise.all(
      [1, 2, 3, 4, 5].map(async (user) => open("watch", (await register(relay, user)).sse)),
    );
    for (const page of five) await until("it to be open", isOpen(page));
    expect(await publish(relay, TOPICS[0] as string, "before")).toBe(5);
    relay.signal("SIGTERM");
    expect(await relay.exited).toBe(0);
    const states = () => Promise.all(five.map(async (page) => (await seen(page)).state));
    const begun = performance.now();
    await until("2 s more to pass", () => performance.now() - begun > 2_000);
    expect(await states()).toEqual([0, 0, 0, 0, 0]);
    const reopened = (await Promise.all(five.map(seen))).filter(({ opened }) => opened.length > 1);
    expect(reopened.length).toBeGreaterThan(0);
    // Its memory is another one's: no id is known there.
    await using next = await RelayProcess.start({ PORT: new URL(relay.url).port });
    const gaveUp = async () => (await states()).every((state) => state === 2);
    await until("all to give up", gaveUp, 30_000);
    expect(await publish(next, TOPICS[0] as string, "after")).toBe(0);
    for (const page of five) {
      const { got, told } = await seen(page);
      expect([got[TOPICS[0] as string], told]).toEqual([["before"], []]);
    }
  }, 90_000);
});

describe("the browser's WebSocket", () => {
  test("with format=json and a few lines of script sees 300 messages once and in order too", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    const { url } = await register(relay);
    const page = await open("resume", network.through(url));
    await until("it to be open", isOpen(page));
    network.cutEach(20, 800);
    await publishAll(relay, 300, 30);
    network.keepAll();
    await expectAll(page, 300, `seed ${network.seed}`);
    expect((await seen(page)).opened.length).toBeGreaterThan(10);
  }, 60_000);
});
