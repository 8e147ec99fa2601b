// The console for everybody: axe-core finds nothing in any view, in light and dark, wide and at 360 pixels; all of it can be
// reached with the keyboard; and it stays quick with many topics.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { AxeResults } from "axe-core";
import { source as axeSource } from "axe-core";
import type { Browser, Page } from "playwright-core";
import { openChromium } from "../../support/browser/chromium";
import { KEY, openConsole, rowsOf } from "../../support/browser/console-page";
import { Caller } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const TOPICS = 300;

let browser: Browser;
let relay: RelayProcess;
let caller: Caller;
beforeAll(async () => {
  browser = await openChromium();
  relay = await RelayProcess.start({ BATON_API_KEYS: KEY, BATON_WORKERS: "2" });
  caller = new Caller({ urls: [relay.url] } as never, KEY);
  const names = Array.from({ length: TOPICS }, (_, i) => `topic ${i}`);
  for (let i = 0; i < TOPICS; i += 100) {
    await caller.connect(`user ${i} with a rather long name`, names.slice(i, i + 100));
  }
  await caller.post("/publish", { topic: "topic 0", data: { n: 1 } });
});
afterAll(async () => {
  await browser?.close();
  await caller?.[Symbol.asyncDispose]();
  await relay?.[Symbol.asyncDispose]();
});

const VIEWS = ["overview", "topics", "users", "try", "why?topic=topic+0&user=user+0"];

/** Puts something into a view that is empty at first. */
async function fillView(page: Page, view: string): Promise<void> {
  if (view === "overview")
    await until("figures", async () => (await rowsOf(page, "Processes")).length > 0);
  if (view === "try") await page.getByRole("button", { name: "Connect all" }).click();
  if (view.startsWith("why")) await page.locator(".finding").first().waitFor();
  if (view !== "topics" && view !== "users") return;
  await page.locator("td.name a").nth(1).click();
  await until("the detail", async () => (await page.getByRole("region").count()) > 1);
}

/** What axe-core finds, with the element. */
async function violationsOf(page: Page): Promise<string[]> {
  // As an expression of the debugger it is not subject to the page's policy.
  await page.evaluate(axeSource);
  const { violations } = (await page.evaluate("axe.run()")) as AxeResults;
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`),
  );
}

describe.each([
  ["wide and light", { width: 1_280, scheme: "light" }],
  ["wide and dark", { width: 1_280, scheme: "dark" }],
  ["360 pixels wide and light", { width: 360, scheme: "light" }],
  ["360 pixels wide and dark", { width: 360, scheme: "dark" }],
] as const)("%s", (_, options) => {
  test("axe-core finds nothing in any view, and no view is wider than the window", async () => {
    const page = await openConsole(browser, relay.url, "overview", options);
    for (const view of VIEWS) {
      await page.evaluate(`location.hash = ${JSON.stringify(view)}`);
      await fillView(page, view);
      expect(await violationsOf(page), view).toEqual([]);
      expect(await page.evaluate("document.documentElement.scrollWidth"), view).toBe(options.width);
    }
    await page.close();
  });

  test("axe-core finds nothing in the page that asks for the key", async () => {
    const page = await browser.newPage({
      viewport: { width: options.width, height: 800 },
      colorScheme: options.scheme,
    });
    await page.goto(`${relay.url}/console`);
    await page.getByLabel("API key").waitFor();
    expect(await violationsOf(page)).toEqual([]);
    await page.close();
  });
});

test("with the keyboard alone one finds a topic and publishes to it", async () => {
  const page = await openConsole(browser, relay.url, "overview");
  const client = await caller.connect("reader", ["topic 7"]);
  const tabTo = async (what: () => Promise<boolean>) => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press("Tab");
      if (await what()) return;
    }
    throw new Error("the keyboard does not reach it");
  };
  const focused = (attribute: string) =>
    page.evaluate(`document.activeElement.${attribute} ?? ""`) as Promise<string>;
  await tabTo(async () => (await focused("textContent")) === "Topics");
  await page.keyboard.press("Enter");
  await tabTo(async () => (await focused("type")) === "search");
  await page.keyboard.type("topic 7");
  await until("the topics", async () => (await rowsOf(page, "Topics")).length === 11);
  await tabTo(async () => (await focused("textContent")) === "topic 7");
  await page.keyboard.press("Enter");
  // The focus is at the head of the topic that was chosen.
  await until("the detail", async () => (await focused("tagName")) === "H3");
  await tabTo(async () => (await focused("tagName")) === "TEXTAREA");
  await page.keyboard.type("by hand");
  await tabTo(async () => (await focused("textContent")) === "Publish");
  await page.keyboard.press("Enter");
  expect(await client.next()).toBe("by hand");
  await page.close();
});

test("a list of 300 topics is shown a page at a time, each of them once", async () => {
  const page = await openConsole(browser, relay.url, "topics");
  const seen: string[] = [];
  const topicsNow = async () => (await rowsOf(page, "Topics")).map(([name = ""]) => name);
  await page.getByLabel("Find topics").fill("topic ");
  await until("the first page", async () => (await topicsNow())[0]?.startsWith("topic ") === true);
  for (;;) {
    const names = await topicsNow();
    expect(names.length).toBeLessThanOrEqual(25);
    seen.push(...names);
    const next = page.getByRole("button", { name: "Next" });
    if (await next.isDisabled()) break;
    await next.click();
    await until("the next page", async () => (await topicsNow())[0] !== names[0]);
  }
  expect(new Set(seen).size).toBe(TOPICS);
  expect(seen).toHaveLength(TOPICS);
  await page.close();
});
