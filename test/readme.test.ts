// The README is true: its commands and examples work as they stand. reference.test.ts compares the tables.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Centrifuge } from "centrifuge";
import { EventSource } from "eventsource";
import { SignJWT } from "jose";
import { centrifuge } from "../src/protocols/centrifuge/json";
import { CLOSES, type CloseName } from "../src/relay/contracts/errors";
import { readTopicsFile } from "../src/settings/topics-file";
import { Client } from "./support/clients/client";
import { startRelay, type TestRelay } from "./support/relay/test-relay";
import { until, within } from "./support/wait";

const root = join(import.meta.dir, "..");
const readme = await Bun.file(join(root, "README.md")).text();

/** Why sessions alone are closed; their wire has codes of its own, which the README lists too. */
const OF_SESSIONS: readonly CloseName[] = [
  "expired",
  "invalid_token",
  "violation",
  "stale",
  "wrong_format",
  "too_many_connections",
  "too_many_topics",
  "not_available",
];

test("the table of close codes has every code that the relay sends", () => {
  for (const [name, { code, reason }] of Object.entries(CLOSES)) {
    if (OF_SESSIONS.includes(name as CloseName)) continue;
    expect(readme).toContain(`| ${code} | ${reason} |`);
  }
  for (const { code, reason } of Object.values(centrifuge.closes ?? {})) {
    expect(readme).toContain(`${code} ${reason}`);
  }
});

test("the commands that it shows are scripts of package.json", async () => {
  const { scripts } = await Bun.file(join(root, "package.json")).json();
  const named = [...readme.matchAll(/bun(?:@[\d.]+)? run ([\w:]+)/g)].map(([, name]) => name);
  expect(named).toContain("server");
  expect(named).toContain("test");
  for (const name of named) expect(scripts[name as string]).toBeString();
});

test("the files that it links to are there", async () => {
  for (const [, link] of readme.matchAll(/\]\((?!https?:|#)([^)]+)\)/g)) {
    expect(await Bun.file(join(root, link as string)).exists(), link).toBe(true);
  }
});

test("the first minute works: its curl commands, two devices, one message on both", async () => {
  await using relay = await startRelay();
  const commands = [...readme.matchAll(/^curl .*$/gm)].map(([line]) =>
    line.replaceAll("http://127.0.0.1:8000", relay.url),
  );
  expect(commands).toHaveLength(4);
  const run = async (command: string) =>
    JSON.parse(await new Response(Bun.spawn(["sh", "-c", command]).stdout).text());
  const [first, second, publish, batch] = commands as [string, string, string, string];
  const phone = await Client.open((await run(first)).url);
  const laptop = await Client.open((await run(second)).url);
  expect(await run(publish)).toMatchObject({ delivered: 2 });
  expect([await phone.next(), await laptop.next()]).toEqual(["hi", "hi"]);
  expect(await run(batch)).toMatchObject([{ offset: 2 }, { offset: 3 }]);
  expect(await phone.take(2)).toEqual(['{"n":1}', '{"n":2}']);
  phone.drop();
  laptop.drop();
});

test("the one-line client that it shows prints what is published", async () => {
  await using relay = await startRelay();
  const script = /bun@[\d.]+ -e '([^']+)'/.exec(readme)?.[1] ?? "";
  const client = Bun.spawn([process.execPath, "-e", script, await relay.register()], {
    stdout: "pipe",
  });
  while ((await relay.publish("tech", "hi")) === 0) await Bun.sleep(5);
  const { value } = await client.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("hi\n");
  client.kill();
});

/** The code block after this comment. */
function blockAfter(comment: string, heading: string): string {
  const from = readme.indexOf(comment, readme.indexOf(heading));
  return /```\w+\n([\s\S]*?)```/.exec(readme.slice(from))?.[1] ?? "";
}

/** All code blocks of this language under a heading. */
function blocksAfter(heading: string, language: string): string[] {
  const text = readme.slice(readme.indexOf(heading)).split("\n### ", 2)[0] ?? "";
  return [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(
    ([, code]) => code as string,
  );
}

/** What an example calls, recorded. */
class Page {
  readonly #messages: string[] = [];
  readonly #waiting: (() => void)[] = [];
  lost: string[] = [];

  readonly onMessage = (topic: string, data: unknown): void => {
    this.#messages.push(`${topic}: ${JSON.stringify(data)}`);
    this.#waiting.shift()?.();
  };

  readonly onLost = (what: unknown): void => {
    this.lost.push(JSON.stringify(what));
  };

  async take(count: number): Promise<string[]> {
    while (this.#messages.length < count) {
      await within("a message", new Promise<void>((resolve) => this.#waiting.push(resolve)));
    }
    return this.#messages.splice(0, count);
  }
}

const cutOff = (relay: TestRelay): void => {
  for (const connection of [...relay.running.relay.connections.all()]) {
    relay.running.relay.connections.end(connection, "slow_consumer");
  }
};

test("the plain client that it shows gets messages, and comes back", async () => {
  await using relay = await startRelay();
  const code = blockAfter("<!-- example", "### Get messages with a WebSocket");
  const page = new Page();
  let over = false;
  const soon = (work: () => void) => void (over || setTimeout(work, 20));
  let asked = 0;
  const relayAddress = async () => {
    // The first time the backend is not there.
    if (++asked === 1) throw new Error("not there");
    return relay.register(1);
  };
  const connect = new Function(
    ...["relayAddress", "onMessage", "setTimeout"],
    `${code}; return connect;`,
  )(relayAddress, (data: string) => page.onMessage("plain", data), soon);
  await connect(["news", "orders"]);
  const isThere = async () => (await relay.publish("orders", "live")) === 1;
  await until("it to be subscribed", isThere);
  expect(await page.take(1)).toEqual(['plain: "live"']);
  cutOff(relay);
  await until("it to be back", isThere);
  expect(await page.take(1)).toEqual(['plain: "live"']);
  for (const connection of relay.running.relay.connections.all()) {
    await relay.request("DELETE", `/register/${connection.id}`);
  }
  await until("it to be gone", () => relay.counts.connections === 0);
  expect(asked).toBe(3);
  over = true;
});

test("the backend that it shows registers, and publishes once though an answer is lost", async () => {
  const key = "a-long-enough-api-key";
  await using relay = await startRelay({ BATON_API_KEYS: key });
  let answers = 0;
  // The first answer is lost after the relay has given it, the second is that it cannot serve.
  using before = Bun.serve({
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const { method, headers } = request;
      if (pathname === "/publish" && ++answers === 2) return new Response("", { status: 503 });
      const answer = await fetch(relay.url + pathname, {
        method,
        headers,
        body: await request.text(),
      });
      if (pathname !== "/publish" || answers > 1) return answer;
      return new Response("", { status: 502 });
    },
  });
  const [code] = blocksAfter("### Publish from your backend", "js") as [string];
  const env = { RELAY_URL: `http://127.0.0.1:${before.port}`, RELAY_KEY: key };
  const soon = (work: () => void) => setTimeout(work, 1);
  const { register, publish } = new Function(
    ...["process", "setTimeout"],
    `${code}; return { register, publish };`,
  )({ env }, soon);
  const { url, sse } = await register(1, ["news"]);
  expect(sse).toContain("/sse/");
  const client = await relay.open(url.replace(/:\d+\//, `:${relay.port}/`));
  expect(await publish("news", { n: 1 })).toMatchObject({ offset: 1, delivered: 1 });
  expect(answers).toBe(3);
  expect(await publish("news", "for one", { user_id: 1 })).toMatchObject({ offset: 2 });
  expect(await client.take(2)).toEqual(['{"n":1}', "for one"]);
  expect(publish("", 1)).rejects.toThrow("invalid_topic");
});

test("the WebSocket client that it shows loses nothing over a lost connection", async () => {
  await using relay = await startRelay();
  const code = blockAfter("<!-- example", "### Lose nothing with a WebSocket");
  const page = new Page();
  const relayAddress = () => relay.register(1);
  const names = ["relayAddress", "onMessage", "onLost", "setTimeout"];
  let over = false;
  const soon = (work: () => void) => void (over || setTimeout(work, 20));
  const connect = new Function(...names, `${code}; return connect;`)(
    relayAddress,
    page.onMessage,
    page.onLost,
    soon,
  );
  await connect(["news", "orders"]);
  await until("it to be subscribed", async () => (await relay.publish("news", "first")) === 1);
  expect(await page.take(1)).toEqual(['news: "first"']);
  cutOff(relay);
  await relay.publish("news", "missed");
  await relay.post("/publish", { topic: "orders", data: { id: 1 } });
  expect((await page.take(2)).toSorted()).toEqual(['news: "missed"', 'orders: {"id":1}']);
  await until("it to be back", async () => (await relay.publish("orders", "live")) === 1);
  expect(await page.take(1)).toEqual(['orders: "live"']);
  cutOff(relay);
  await relay.post("/publish", Array(101).fill({ topic: "news", message: "too many" }));
  await until("it to be told", () => page.lost.length > 0);
  expect(page.lost).toEqual(['"news"']);
  over = true;
});

test("the EventSource client that it shows loses nothing over a lost connection", async () => {
  await using relay = await startRelay();
  const code = blockAfter("<!-- example", "### Lose nothing with EventSource");
  const page = new Page();
  const streamAddress = async () => (await relay.post("/register", { user_id: 1 })).json.sse;
  const run = new Function(
    "EventSource",
    "streamAddress",
    "onMessage",
    "onLost",
    `return (async () => { ${code}; return events; })()`,
  );
  const events: EventSource = await run(EventSource, streamAddress, page.onMessage, page.onLost);
  await until("it to be subscribed", async () => (await relay.publish("news", "first")) === 1);
  expect(await page.take(1)).toEqual(['news: "first"']);
  cutOff(relay);
  await relay.publish("news", "missed");
  await relay.publish("orders", "one more");
  expect(await page.take(2)).toEqual(['news: "missed"', 'orders: "one more"']);
  expect(page.lost).toEqual([]);
  events.close();
});

test("the topics file that it shows is one", async () => {
  const path = join(tmpdir(), `baton-readme-${process.pid}.json`);
  await Bun.write(path, blockAfter("<!-- topics file", "### Choose what is kept"));
  expect(readTopicsFile(path)).toMatchObject({
    "orders:": { historySize: 1_000, historyTtlMs: 3_600_000 },
    "typing:": { historySize: 0 },
  });
  await Bun.file(path).delete();
});

test("the Centrifuge client and the tokens that it shows work, and lose nothing over a lost connection", async () => {
  const secret = "0123456789abcdef0123456789abcdef";
  const folder = mkdtempSync(join(tmpdir(), "baton-readme-"));
  await Bun.write(join(folder, "topics.json"), '{"": {"allow_subscribe": ["client"]}}');
  await using relay = await startRelay({
    BATON_TOKEN_SECRET: secret,
    BATON_TOPICS_FILE: join(folder, "topics.json"),
  });
  const without = (code: string) => code.replaceAll(/^import .*$/gm, "");
  const [client] = blocksAfter("### Use a Centrifuge SDK", "js") as [string];
  const [signing] = blocksAfter("### Sign tokens", "js") as [string];
  const { connectionToken, topicToken } = new Function(
    "SignJWT",
    "process",
    `${without(signing)}; return { connectionToken, topicToken };`,
  )(SignJWT, { env: { BATON_TOKEN_SECRET: secret } });
  const page = new Page();
  const run = new Function(
    ...["Centrifuge", "relayUrl", "getToken", "onMessage", "onLost"],
    `${without(client)}; return client;`,
  );
  const centrifuge = run(
    Centrifuge,
    `${relay.url.replace("http", "ws")}/connection/websocket`,
    () => connectionToken("42"),
    page.onMessage,
    page.onLost,
  );
  await until("it to be subscribed", async () => (await relay.publish("news", "first")) === 1);
  expect(await page.take(1)).toEqual(['news: "first"']);
  cutOff(relay);
  await relay.publish("news", "missed");
  expect(await page.take(1)).toEqual(['news: "missed"']);
  const closed = centrifuge.newSubscription("$closed", {
    token: await topicToken("42", "$closed"),
  });
  closed.on("publication", ({ data }: { data: unknown }) => page.onMessage("$closed", data));
  closed.subscribe();
  await until("it to be subscribed", async () => (await relay.publish("$closed", "for me")) === 1);
  expect(await page.take(1)).toEqual(['$closed: "for me"']);
  centrifuge.disconnect();
  rmSync(folder, { recursive: true });
});
