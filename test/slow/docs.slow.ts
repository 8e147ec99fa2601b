// The examples of the docs in Python work as they stand: each program runs against a relay, over lost connections.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SECRET } from "../support/centrifuge/sdk";
import { SessionClient } from "../support/centrifuge/session-client";
import { example } from "../support/docs/pages";
import { PythonProgram } from "../support/machine/python-program";
import { startRelay, type TestRelay } from "../support/relay/test-relay";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "baton-docs-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Writes an example to a file, followed by lines of the test's own, and returns the path. */
async function program(page: string, name: string, more = ""): Promise<string> {
  const path = join(folder, name);
  await Bun.write(path, `${example(page, name)}\n${more}`);
  return path;
}

/** A client of docs/clients.md, which prints what it receives. */
class Listener implements AsyncDisposable {
  readonly #python: PythonProgram;
  readonly lines: string[] = [];

  private constructor(path: string, url: string) {
    this.#python = new PythonProgram([path, url], (line) => this.lines.push(line));
  }

  static async start(name: string, url: string): Promise<Listener> {
    return new Listener(await program("docs/clients.md", name), url);
  }

  /** Publishes until somebody gets it: then the program is there. */
  async isThere(relay: TestRelay, topic: string): Promise<void> {
    const look = async () => (await relay.publish(topic, "there")) === 1;
    await this.#python.until("it to be subscribed", look);
    await this.gets("there");
    this.lines.length = 0;
  }

  /** Waits for a line that ends so. */
  gets(end: string): Promise<void> {
    const holds = () => this.lines.some((line) => line.endsWith(end));
    return this.#python.until(`a line with ${end} among ${this.lines}`, holds);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#python[Symbol.asyncDispose]();
  }
}

const idsOf = (relay: TestRelay): string[] =>
  [...relay.running.relay.connections.all()].map(({ id }) => id);

function cutOff(relay: TestRelay): void {
  for (const connection of [...relay.running.relay.connections.all()]) {
    relay.running.relay.connections.end(connection, "slow_consumer");
  }
}

test("plain_client.py gets messages, and reconnects", async () => {
  await using relay = await startRelay();
  await using client = await Listener.start("plain_client.py", relay.url);
  await client.isThere(relay, "news");
  cutOff(relay);
  await client.isThere(relay, "orders");
  await relay.publish("news", "é\u2028😀");
  await client.gets("é\u2028😀");
  expect(client.lines).toEqual(["é\u2028😀"]);
});

describe.each([
  ["resuming_client.py", "news: lost"],
  ["event_source.py", "lost: ['news', 'orders']"],
])("%s", (name, lost) => {
  test("loses nothing over a lost connection, and is told what is not kept", async () => {
    await using relay = await startRelay();
    await using client = await Listener.start(name, relay.url);
    await client.isThere(relay, "news");
    cutOff(relay);
    const missed = ["one", "two \u2028 \u0085", "three"];
    for (const message of missed) await relay.publish("news", message);
    await relay.publish("orders", "four");
    await client.gets("three");
    await client.gets("four");
    const ofNews = client.lines.filter((line) => line.startsWith("news: "));
    expect(ofNews).toEqual(missed.map((message) => `news: ${message}`));
    await client.isThere(relay, "orders");
    cutOff(relay);
    await relay.post("/publish", Array(101).fill({ topic: "news", message: "too many" }));
    await client.gets(lost);
    expect(client.lines).toEqual([lost]);
    await client.isThere(relay, "news");
  });

  test("registers again when its registration is gone", async () => {
    // It reconnects after half a second or more.
    await using relay = await startRelay({ BATON_REGISTRATION_TTL_MS: "400" });
    await using client = await Listener.start(name, relay.url);
    await client.isThere(relay, "news");
    const before = idsOf(relay);
    cutOff(relay);
    await client.isThere(relay, "news");
    expect(idsOf(relay)).not.toEqual(before);
  });
});

test("sdk_client.py loses nothing over a lost connection", async () => {
  await using relay = await startRelay();
  const url = `${relay.url.replace("http", "ws")}/connection/websocket`;
  await using client = await Listener.start("sdk_client.py", url);
  await client.isThere(relay, "news");
  cutOff(relay);
  await relay.publish("news", "missed");
  await client.gets("missed");
  expect(client.lines).toEqual(["news: missed"]);
});

test("backend.py registers, and publishes once though an answer is lost", async () => {
  const key = "a-long-enough-api-key";
  await using relay = await startRelay({ BATON_API_KEYS: key });
  let asked = 0;
  using before = Bun.serve({
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const { method, headers } = request;
      const body = await request.text();
      const answer = await fetch(relay.url + pathname, { method, headers, body });
      return pathname === "/publish" && ++asked === 1 ? new Response("", { status: 502 }) : answer;
    },
  });
  const path = await program(
    "docs/publishing.md",
    "backend.py",
    `print(register(1, ["news"]))
print(publish("news", {"n": 1}))
print(publish("news", "for one", user_id=1)["offset"])
try:
    publish("", 1)
except httpx.HTTPStatusError as error:
    print(error.response.status_code)
`,
  );
  const lines: string[] = [];
  const env = { RELAY_URL: `http://127.0.0.1:${before.port}`, RELAY_KEY: key };
  await using python = new PythonProgram([path], (line) => lines.push(line), env);
  await python.until("its last line", () => lines.length === 4);
  expect(lines[0]).toStartWith("ws://");
  expect(lines.slice(1)).toEqual([expect.stringContaining("'offset': 1"), "2", "422"]);
  expect(asked).toBe(4);
});

test("lines.py has each line answered while its request is open", async () => {
  const key = "a-long-enough-api-key";
  await using relay = await startRelay({ BATON_API_KEYS: key });
  const path = await program(
    "docs/publishing.md",
    "lines.py",
    `lines = LinePublisher()
lines.send({"topic": "news", "message": "1"})
print(lines.answer()["offset"])
lines.send({"topic": ""}, {"topic": "news", "data": "é"})
print(lines.answer()["line"])
print(lines.answer()["offset"])
lines.close()
`,
  );
  const lines: string[] = [];
  const env = { RELAY_URL: relay.url, RELAY_KEY: key };
  await using python = new PythonProgram([path], (line) => lines.push(line), env);
  await python.until("its last line", () => lines.length === 3);
  expect(lines).toEqual(["1", "2", "2"]);
});

test("the tokens of tokens.py open a connection and a private topic", async () => {
  await using relay = await startRelay({ BATON_TOKEN_SECRET: SECRET });
  const path = await program(
    "docs/access.md",
    "tokens.py",
    'print(connection_token("42"))\nprint(topic_token("42", "$orders"))\n',
  );
  const lines: string[] = [];
  const env = { BATON_TOKEN_SECRET: SECRET };
  await using python = new PythonProgram([path], (line) => lines.push(line), env);
  await python.until("two tokens", () => lines.length === 2);
  const [token = "", topicToken] = lines;
  const session = await SessionClient.connect(relay, { token });
  const { subscribe } = await session.ask("subscribe", { channel: "$orders", token: topicToken });
  expect(subscribe).toMatchObject({ expires: true });
  session.drop();
});
