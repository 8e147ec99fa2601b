// Debian's Chromium with seven tabs of one user: over HTTP/1.1 a browser opens six connections to a host, over HTTP/2 one is enough.
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { openChromium } from "../../support/browser/chromium";
import { withTls } from "../../support/machine/authority";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const TABS = 7;

let browser: Browser;
beforeAll(async () => {
  // It does not know the tests' authority.
  browser = await openChromium(["--ignore-certificate-errors"]);
});
afterAll(() => browser?.close());

/** Runs in a tab: it records the events of one stream. */
const TAB = `
  received = [];
  openStream = (address) => {
    const events = new EventSource(address);
    events.addEventListener("news", ({ data }) => received.push(data));
  };
  openSocket = (address) => new Promise((resolve) => {
    const socket = new WebSocket(address);
    socket.onopen = () => resolve("open");
    socket.onclose = ({ code }) => resolve("closed with " + code);
  });
`;

/** Opens so many tabs, with a page of the relay's own address. */
async function openTabs(relay: TestRelay, count: number): Promise<Page[]> {
  const context = await browser.newContext();
  const tabs: Page[] = [];
  while (tabs.length < count) {
    const tab = await context.newPage();
    await tab.goto(`${relay.url}/health`);
    await tab.evaluate(TAB);
    tabs.push(tab);
  }
  return tabs;
}

/** Opens an EventSource in this tab. */
async function openStream(relay: TestRelay, tab: Page): Promise<void> {
  const { sse } = await relay.registration("the user", ["news"]);
  await tab.evaluate(`openStream(${JSON.stringify(sse)})`);
}

const receivedBy = (tab: Page) => tab.evaluate("received") as Promise<string[]>;

test("over HTTP/2 each of seven tabs gets every publication, and a WebSocket opens beside them", async () => {
  await using relay = await startRelay({ ...withTls(), BATON_HTTP2: "1" });
  const tabs = await openTabs(relay, TABS);
  for (const tab of tabs) await openStream(relay, tab);
  await until("all streams", () => relay.counts.connections === TABS);
  const url = await relay.register("the user");
  const [tab] = tabs as [Page];
  expect(await tab.evaluate(`openSocket(${JSON.stringify(url)})`)).toBe("open");
  expect(relay.counts.connections).toBe(TABS + 1);
  for (const message of ["1", "2", "3"]) await relay.publish("news", message);
  for (const one of tabs) {
    await until("the events", async () => (await receivedBy(one)).length === 3);
    expect(await receivedBy(one)).toEqual(["1", "2", "3"]);
  }
  await tab.close();
  await until("the closed tab to be noticed", () => relay.counts.connections === TABS - 1);
  await tabs[1]?.context().close();
});

test("over HTTP/1.1 the seventh tab waits until another one closes", async () => {
  await using relay = await startRelay(withTls());
  const tabs = await openTabs(relay, TABS);
  const seventh = tabs.at(-1) as Page;
  for (const tab of tabs.slice(0, -1)) await openStream(relay, tab);
  await until("six streams", () => relay.counts.connections === TABS - 1);
  await openStream(relay, seventh);
  // The seventh has been asked to connect; what is published now arrives in all the others.
  await relay.publish("news", "for six");
  for (const one of tabs.slice(0, -1)) {
    await until("the event", async () => (await receivedBy(one)).length === 1);
  }
  expect(relay.counts.connections).toBe(TABS - 1);
  await tabs[0]?.close();
  await until("the seventh stream", () => relay.counts.connections === TABS - 1);
  const hasReceived = async () => {
    await relay.publish("news", "for the seventh");
    return (await receivedBy(seventh)).length > 0;
  };
  await until("the seventh to receive", hasReceived);
  await seventh.context().close();
});
