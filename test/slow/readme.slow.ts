// The README's Python works as it stands: each of its programs against a relay, over lost connections.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SECRET } from "../support/centrifuge/sdk";
import { SessionClient } from "../support/centrifuge/session-client";
import { PythonProgram } from "../support/machine/python-program";
import { startRelay, type TestRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "baton-readme-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The Python under a heading, after it some more of the test's own, as a file. */
async function program(heading: string, more = ""): Promise<string> {
  const section = readme.slice(readme.indexOf(`### ${heading}\n`)).split("\n### ", 2)[0] ?? "";
  const [, code] = /```python\n([\s\S]*?)```/.exec(section) ?? [];
  if (code === undefined) throw new Error(`there is no Python under "${heading}"`);
  const path = join(folder, `${Bun.hash(heading)}.py`);
  await Bun.write(path, `${code}\n${more}`);
  return path;
}

/** A program of the README that prints what it gets. */
class Listener implements AsyncDisposable {
  readonly #python: PythonProgram;
  readonly lines: string[] = [];

  private constructor(path: string, url: string) {
    this.#python = new PythonProgram([path, url], (line) => this.lines.push(line));
  }

  static async start(heading: string, url: string): Promise<Listener> {
    return new Listener(await program(heading), url);
  }

  /** Publishes until somebody gets it: then the program is there. */
  async isThere(relay: TestRelay, topic: string): Promise<void> {
    const look = async () => (await relay.publish(topic, "there")) === 1;
    await this.#python.until("it to be subscribed", look, 15_000);
    await this.gets("there");
    this.lines.length = 0;
  }

  /** Waits for a line that ends so. */
  gets(end: string): Promise<void> {
    const holds = () => this.lines.some((line) => line.endsWith(end));
    return this.#python.until(`a line with ${end} among ${this.lines}`, holds, 15_000);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#python[Symbol.asyncDispose]();
  }
}

function cutOff(relay: TestRelay): void {
  for (const connection of [...relay.running.relay.connections.all()]) {
    relay.running.relay.connections.end(connection, "slow_consumer");
  }
}

test("the plain client gets messages, and comes back", async () => {
  await using relay = await startRelay();
  await using client = await Listener.start("Get messages with a WebSocket", relay.url);
  await client.isThere(relay, "news");
  cutOff(relay);
  await client.isThere(relay, "orders");
  await relay.publish("news", "é\u2028😀");
  await client.gets("é\u2028😀");
  expect(client.lines).toEqual(["é\u2028😀"]);
});

describe.each([
  ["Lose nothing with a WebSocket", "news: lost"],
  ["Lose nothing with EventSource", "lost: ['news', 'orders']"],
])("the client of %s", (heading, lost) => {
  test("loses nothing over a lost connection, and is told what is not kept", async () => {
    await using relay = await startRelay();
    await using client = await Listener.start(heading, relay.url);
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
    await using relay = await startRelay({ BATON_REGISTRATION_TTL_MS: "200" });
    await using client = await Listener.start(heading, relay.url);
    await client.isThere(relay, "news");
    cutOff(relay);
    await until("its registration to be gone", () => relay.counts.registrations === 0);
    await client.isThere(relay, "news");
  });
});

test("the SDK's client loses nothing over a lost connection", async () => {
  await using relay = await startRelay();
  const url = `${relay.url.replace("http", "ws")}/connection/websocket`;
  await using client = await Listener.start("Use a Centrifuge SDK", url);
  await client.isThere(relay, "news");
  cutOff(relay);
  await relay.publish("news", "missed");
  await client.gets("missed");
  expect(client.lines).toEqual(["news: missed"]);
});

test("the backend registers, and publishes once though an answer is lost", async () => {
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
    "Publish from your backend",
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
  await python.until("its last line", () => lines.length === 4, 15_000);
  expect(lines[0]).toStartWith("ws://");
  expect(lines.slice(1)).toEqual([expect.stringContaining("'offset': 1"), "2", "422"]);
  expect(asked).toBe(4);
});

test("the tokens open a connection and a private topic", async () => {
  await using relay = await startRelay({ BATON_TOKEN_SECRET: SECRET });
  const path = await program(
    "Sign tokens",
    'print(connection_token("42"))\nprint(topic_token("42", "$orders"))\n',
  );
  const lines: string[] = [];
  const env = { BATON_TOKEN_SECRET: SECRET };
  await using python = new PythonProgram([path], (line) => lines.push(line), env);
  await python.until("two tokens", () => lines.length === 2, 15_000);
  const [token = "", topicToken] = lines;
  const session = await SessionClient.connect(relay, { token });
  const { subscribe } = await session.ask("subscribe", { channel: "$orders", token: topicToken });
  expect(subscribe).toMatchObject({ expires: true });
  session.drop();
});
