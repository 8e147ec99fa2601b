// The console in Debian's Chromium, against a relay with two workers: each of its views does what it says.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import { openChromium } from "../../support/browser/chromium";
import { faults, KEY, openConsole, rowsOf } from "../../support/browser/console-page";
import { RawSocket } from "../../support/clients/raw-socket";
import { Caller } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";
import { topicsFile } from "../../support/relay/topics-file";
import { sourcesFile } from "../../support/sources/sources-file";
import { until } from "../../support/wait";

/** What would run a script if it were taken for HTML. */
const NASTY = `<img src=x onerror="document.title='run'">`;

/** A source whose server nobody reaches. */
const AWAY = { kind: "redis", url: "redis://127.0.0.1:1", stream: "s" };

let browser: Browser;
let relay: RelayProcess;
let caller: Caller;
let page: Page;
beforeAll(async () => {
  browser = await openChromium();
  relay = await RelayProcess.start({
    BATON_API_KEYS: KEY,
    BATON_WORKERS: "2",
    BATON_ANONYMOUS: "1",
    BATON_PUSHER_APPS: "1:app-key:app-secret",
    BATON_BACKPRESSURE_BYTES: "65536",
    BATON_SOURCES_FILE: sourcesFile({ orders: AWAY }),
    BATON_WEBHOOKS: "https://127.0.0.1:1/ types=client.published",
    BATON_WEBHOOK_SECRETS: `whsec_${btoa("x".repeat(24))}`,
    BATON_SHUTDOWN_MS: "50",
    BATON_TOPICS_FILE: topicsFile({
      "": { allow_subscribe: ["client", "anonymous"], history_size: 4 },
      "news:": { history_size: 100 },
    }),
  });
});
afterAll(async () => {
  await browser?.close();
  await relay?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  caller = new Caller({ urls: [relay.url] } as never, KEY);
  faults.splice(0);
});
afterEach(async () => {
  await page?.close();
  await caller[Symbol.asyncDispose]();
  expect(faults).toEqual([]);
});

const publish = async (topic: string, more = {}): Promise<string> => {
  const { status, text, json } = await caller.post("/publish", { topic, message: "m", ...more });
  expect(status, text).toBe(200);
  return `${json.epoch}:${json.offset}`;
};

const open = async (view: string): Promise<void> => {
  page = await openConsole(browser, relay.url, view);
};

/** Waits until a text is there. */
const see = (text: string | RegExp) => page.getByText(text).first().waitFor();

test("opens with a right key alone, which stays in this tab and out of the address", async () => {
  page = await browser.newPage();
  await page.goto(`${relay.url}/console`);
  await page.getByLabel("API key").fill("wrong");
  await page.keyboard.press("Enter");
  await see("This is not an API key of this relay.");
  await page.getByLabel("API key").fill(KEY);
  await page.keyboard.press("Enter");
  await see("live");
  expect(page.url()).not.toContain(KEY);
  expect(await page.evaluate("JSON.stringify(localStorage) + document.cookie")).toBe("{}");
  await page.reload();
  await see("live");
  await page.getByRole("button", { name: "Lock" }).click();
  await page.getByLabel("API key").waitFor();
  expect(await page.evaluate("sessionStorage.length")).toBe(0);
});

test("the overview shows connections, rates, both workers and their supervisor, and refusals and slow consumers as they happen", async () => {
  const clients = await Promise.all([1, 2, 3].map((user) => caller.connect(user, ["news:a"])));
  await open("overview");
  const chart = (title: string) =>
    page.locator("figure").filter({ hasText: title }).locator(".now").textContent();
  // The console is a client too.
  await until("its connections", async () => (await chart("Connections")) === "4");
  expect(await page.locator("figure canvas").count()).toBe(6);
  await until("rates", async () => {
    for (let i = 0; i < 10; i++) await publish("news:a");
    return (await chart("Publications a second")) !== "0";
  });
  await until("departures", async () => {
    await publish("news:a");
    return /p99 [\d.,]+ ms$/.test((await chart("Time to departure")) ?? "");
  });
  const processes = () => rowsOf(page, "Processes");
  await until("four connections of both workers, and the supervisor's figures", async () => {
    const rows = await processes();
    const counts = rows.slice(0, 2).map(([, count]) => Number(count));
    const hasFigures = rows[2]?.[2]?.endsWith("%") === true;
    return hasFigures && counts.reduce((sum, count) => sum + count) === 4;
  });
  const [first, second, last] = await processes();
  expect([first?.[0], second?.[0], last?.[0]]).toEqual([
    expect.stringMatching(/^process \w+$/),
    expect.stringMatching(/^process \w+$/),
    expect.stringMatching(/^supervisor/),
  ]);
  const [, connections, cpu, memory] = last ?? [];
  expect([connections, cpu, memory]).toEqual([
    "–",
    expect.stringMatching(/^[\d.]+%$/),
    expect.stringMatching(/^[\d.]+ MB$/),
  ]);
  await caller.post("/publish", { topic: "" });
  await see("refused 1 × invalid_topic");
  const raw = await RawSocket.upgrade(
    `${relay.url}/ws/${await caller.register("slow one", ["news:b"])}`,
  );
  raw.pause();
  await until("it to be cut off", async () => {
    for (let i = 0; i < 20; i++) {
      await publish("news:b", { message: "x".repeat(60_000), user_id: "slow one" });
    }
    return (await page.getByText("slow consumer: user slow one").count()) > 0;
  });
  raw.drop();
  for (const client of clients) client.drop();
});

test("the overview says how each source is and what waits to be told, over all workers", async () => {
  await open("overview");
  await see(/^down for \d+ s: ./);
  expect(await rowsOf(page, "Webhooks and pushes")).toEqual([
    ["Webhook events for https://127.0.0.1:1", "0", "–", "0"],
  ]);
  expect((await rowsOf(page, "Sources")).map(([name, kind]) => [name, kind])).toEqual([
    ["orders", "redis"],
  ]);
});

test("topics show subscribers, position, rule and publications, and one can publish to them", async () => {
  const client = await caller.connect(1, ["news:x"]);
  await caller.connect(2, ["news:x", NASTY]);
  const position = await publish("news:x", { message: "before" });
  await client.next();
  await open("topics");
  await page.getByLabel("Find topics").fill("news:x");
  await until("the topic", async () => (await rowsOf(page, "Topics")).length === 1);
  const [row] = await rowsOf(page, "Topics");
  expect([row?.[0], row?.[1], row?.[2], row?.[4]]).toEqual(["news:x", "2", position, "news:…"]);
  await page.getByRole("link", { name: "news:x", exact: true }).click();
  await see("100 publications for 5 min");
  await see("before");
  await page.getByLabel("Publish to this topic").fill('{"from":"the console"}');
  await page.getByRole("combobox", { name: "As" }).selectOption("JSON");
  await page.getByRole("button", { name: "Publish" }).click();
  await see("Published: sent to");
  expect(await client.next()).toBe('{"from":"the console"}');
  await until("the last publications", async () =>
    (await rowsOf(page, "Last publications")).some(([, , data]) => data?.includes("the console")),
  );
  await page.getByRole("link", { name: "Who got it?" }).last().click();
  await see("It was for all subscribers");
  // Plain sockets take no positions.
  await see("0 open connections got it. 2 open connections may have it");
  await until("both", async () => (await rowsOf(page, "Who got it")).length === 2);
  expect(await page.getByLabel("Position").inputValue()).toBe(position);
});

test("a topic without subscribers is opened by its name, its address can be handed on, and Back leads to the topic before", async () => {
  await open("topics?topic=nobody:here");
  const title = (name: string) => page.getByRole("heading", { name, exact: true }).waitFor();
  await title("nobody:here");
  await page.getByLabel("Publish to this topic").fill("is anybody here?");
  await page.getByRole("button", { name: "Publish" }).click();
  await see("sent to 0 connections of the process that took it");
  await until("what it keeps", async () => (await rowsOf(page, "Last publications")).length === 1);
  await see("none");
  await page.getByLabel("Find topics").fill("news:y");
  await page.keyboard.press("Enter");
  await title("news:y");
  await page.goBack();
  await title("nobody:here");
  await page.getByRole("link", { name: "Follow it live" }).click();
  await until("its name", async () => {
    return (await page.getByLabel("Topics, separated").inputValue()) === "nobody:here";
  });
  // Whoever comes back to a view finds there what it showed.
  await page.getByRole("link", { name: "Topics" }).click();
  await title("nobody:here");
});

test("users show their connections, and a button disconnects one or all", async () => {
  const [first, second] = await Promise.all([
    caller.connect(NASTY, ["a", NASTY]),
    caller.connect(NASTY, ["b"]),
  ]);
  await open("users");
  await page.getByLabel("Find users").fill("<img");
  await page.getByRole("link", { name: NASTY, exact: true }).click();
  await until("both connections", async () => (await rowsOf(page, "Connections")).length === 2);
  const rows = await rowsOf(page, "Connections");
  expect(rows.map(([topics, kind]) => `${topics} ${kind}`).toSorted()).toEqual([
    `a, ${NASTY} plain`,
    "b plain",
  ]);
  // Nothing of it has become an element.
  expect(await page.locator("img").count()).toBe(0);
  expect(await page.title()).not.toBe("run");
  const [at] = rows.findIndex(([topics]) => topics === "b") === 0 ? [0] : [1];
  await page.getByRole("button", { name: "Disconnect connection" }).nth(at).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Disconnect connection" }).nth(at).click();
  await page.getByRole("dialog").getByRole("button", { name: "Disconnect" }).click();
  expect(await second.closed).toMatchObject({ code: 3503 });
  await see("Ended: 1 connection.");
  await until("its row to be gone", async () => (await rowsOf(page, "Connections")).length === 1);
  await page.getByRole("button", { name: "Disconnect all" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Disconnect" }).click();
  expect(await first.closed).toMatchObject({ code: 3503 });
});

describe("why a message did not arrive, the console says alone:", () => {
  /** Fills in the form, and resolves with the codes of the findings. */
  const ask = async (topic: string, user: string, position: string): Promise<string[]> => {
    await page.getByLabel("Topic").fill(topic);
    await page.getByLabel("User").fill(user);
    await page.getByLabel("Position").fill(position);
    const answered = page.waitForResponse(/\/explain/);
    await page.getByRole("button", { name: "Explain" }).click();
    await answered;
    await page.locator(".finding").first().waitFor();
    return page
      .locator(".finding")
      .evaluateAll((all) => all.map((one) => one.getAttribute("data-code") ?? ""));
  };

  test("offline, not subscribed, not allowed, for another user", async () => {
    await open("why");
    const client = await caller.connect("was here", ["w"]);
    await client.close();
    const first = await publish("w");
    await until("it to be gone", async () => (await ask("w", "was here", first))[0] === "offline");
    await see(/The last one ended .* ago: its client closed it \(1000\)/);
    await caller.connect("elsewhere", ["other"]);
    expect(await ask("w", "elsewhere", first)).toEqual(["not_subscribed"]);
    const secret = await publish("w#somebody");
    expect(await ask("w#somebody", "elsewhere", secret)).toEqual(["not_allowed", "not_subscribed"]);
    await caller.connect("listener", ["w"]);
    const only = await publish("w", { user_id: "somebody" });
    expect(await ask("w", "listener", only)).toEqual(["for_another_user"]);
    await see('It was for the user "somebody"');
  });

  test("expired, and recovered after it was too slow", async () => {
    await open("why");
    const id = await caller.register("late", []);
    const begun = await publish("v");
    const { client } = await caller.follow(id, ["v"]);
    client.drop();
    await until("it to be gone", async () => {
      const { json } = await caller.call("GET", "/users/late/connections");
      return json.connections.length === 0;
    });
    const missed = await publish("v");
    for (let i = 0; i < 6; i++) await publish("v");
    const [epoch, offset] = begun.split(":");
    const since = { v: { epoch, offset: Number(offset) } };
    expect((await caller.follow(id, ["v"], since)).reply.v.recovered).toBe(false);
    expect((await ask("v", "late", missed))[0]).toBe("expired");
    const slow = await caller.register("slow", ["u"]);
    const raw = await RawSocket.upgrade(`${relay.url}/ws/${slow}?format=json`);
    raw.frame(1, '{"topics":["u"]}');
    await raw.nextFrame();
    raw.pause();
    let last = "";
    await until("it to be cut off", async () => {
      for (let i = 0; i < 20; i++) {
        last = await publish("u", { message: "x".repeat(60_000), user_id: "slow" });
      }
      return (await ask("u", "slow", last)).includes("slow_consumer");
    });
    raw.drop();
    const [name = "", top] = last.split(":");
    await caller.follow(slow, ["u"], { u: { epoch: name, offset: Number(top) - 1 } });
    expect(await ask("u", "slow", last)).toEqual(["recovered", "slow_consumer"]);
  });
});

test("try it: a client of each kind connects, gets what is published, and all whose protocol has positions recover", async () => {
  await open("try");
  await page.getByLabel("App key for the Pusher client").fill("app-key");
  await page.getByRole("button", { name: "Connect all" }).click();
  const card = (name: string) => page.getByRole("region", { name, exact: true });
  const losing = ["Plain WebSocket", "Pusher client"];
  const resuming = ["WebSocket with JSON", "EventSource", "Centrifuge client"];
  const kinds = [...losing, ...resuming];
  const isConnected = async (name: string) =>
    (await card(name).getByRole("status").textContent()) === "connected";
  const areConnected = async () => (await Promise.all(kinds.map(isConnected))).every(Boolean);
  await until("all to be connected", areConnected);
  const send = async (text: string) => {
    await page.getByLabel("Publish to the first topic").fill(text);
    await page.getByRole("button", { name: "Publish" }).click();
    await see(`"${text}" was published to try`);
  };
  const has = async (name: string, text: string) =>
    (await card(name).getByRole("log").textContent())?.includes(text) === true;
  // A client is connected a moment before it is subscribed.
  const allHave = async (text: string) => {
    const found = await Promise.all(kinds.map((name) => has(name, text)));
    return found.every(Boolean);
  };
  let number = 0;
  await until("the first to arrive", async () => {
    await send(`first ${number++}`);
    return allHave(`first ${number - 1} (`);
  });
  // All at once, and published by the backend: the first are back four seconds later, however slow the browser is.
  const plugs = page.getByRole("button", { name: "Pull the plug" });
  await plugs.evaluateAll((all) => {
    for (const plug of all) (plug as unknown as { click(): void }).click();
  });
  await publish("try", { message: "missed" });
  await until("all to be back", areConnected);
  for (const name of resuming) {
    await until(`what ${name} missed`, () => has(name, "try: missed"));
  }
  for (const name of losing) expect(await has(name, "missed")).toBe(false);
  expect(await has("WebSocket with JSON", "everything that it missed follows")).toBe(true);
});

test("try it: a Pusher client without the key of an app, and one with a wrong key, say what is missing", async () => {
  await open("try");
  const card = page.getByRole("region", { name: "Pusher client", exact: true });
  await page.getByRole("button", { name: "Connect all" }).click();
  expect(await card.getByRole("status").textContent()).toBe("not connected");
  await card.getByRole("button", { name: "Connect", exact: true }).click();
  await see("It needs the key of an app that BATON_PUSHER_APPS names.");
  await page.getByLabel("App key for the Pusher client").fill("wrong");
  await card.getByRole("button", { name: "Connect", exact: true }).click();
  await see(/closed with 4001/);
});

test("it says so when the relay hangs, and shows it again when that goes on", async () => {
  await using other = await RelayProcess.start({ BATON_API_KEYS: KEY });
  page = await openConsole(browser, other.url, "topics");
  other.signal("SIGSTOP");
  await see(/reconnecting\. No figures have come for 10 s/);
  await see("The relay does not answer.");
  other.signal("SIGCONT");
  await page.getByText("live", { exact: true }).waitFor();
  faults.splice(0);
});

test("it finds its way back when the worker that it is connected to is replaced", async () => {
  await open("overview");
  const names = async () => (await rowsOf(page, "Processes")).map(([name]) => name);
  await until("both workers and their supervisor", async () => (await names()).length === 3);
  const before = await names();
  relay.signal("SIGHUP");
  await until("two other workers", async () => {
    const now = await names();
    // The supervisor stays.
    return now.length === 3 && now.filter((name) => before.includes(name)).length === 1;
  });
  faults.splice(0);
});
