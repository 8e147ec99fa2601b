// What may be done with one API key in a second.
import { describe, expect, test } from "bun:test";
import { Scrape } from "../../../support/metrics/scrape";
import { OpenPublish } from "../../../support/relay/open-publish";
import { startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { until } from "../../../support/wait";

const KEYS = ["first-key-of-sixteen", "other-key-of-sixteen"] as const;

const BATON_API_KEYS = KEYS.join(",");

const withKey = (key: string) => ({ "x-api-key": key });

const publish = (relay: TestRelay, body: unknown, key: string = KEYS[0]) =>
  relay.post("/publish", body, withKey(key));

const one = { topic: "tech", message: "m" };

test("a key has so many requests a second, and other keys have theirs", async () => {
  await using relay = await startRelay({ BATON_API_KEYS, BATON_KEY_REQUESTS_MAX: "10" });
  const paths = ["/publish", "/register", "/api/info"];
  const isRefused = ({ status }: { status: number }) => status === 429;
  const answers = await Promise.all(
    Array.from({ length: 102 }, (_, i) => {
      const path = paths[i % 3] as string;
      return relay.post(path, path === "/publish" ? one : { user_id: 1 }, withKey(KEYS[0]));
    }),
  );
  const refused = answers.filter(isRefused);
  for (const [i, path] of paths.entries()) {
    const theirs = answers.filter((_, at) => at % 3 === i);
    expect([path, theirs.some(isRefused)]).toEqual([path, true]);
  }
  expect(answers.length - refused.length).toBeGreaterThanOrEqual(10);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0]?.json.error.code).toBe("too_many_key_requests");
  expect(refused[0]?.headers.get("retry-after")).toBe("1");
  expect((await publish(relay, one, KEYS[1])).status).toBe(200);
  // A wrong key uses up nobody's share.
  expect((await publish(relay, one, "wrong")).status).toBe(401);
  const scrape = await Scrape.of(`${relay.url}/metrics`, withKey(KEYS[1]));
  expect(scrape.value('baton_refusals_total{code="too_many_key_requests"}')).toBeGreaterThan(0);
});

describe("publications with a key are limited", () => {
  const BATON_KEY_PUBLICATIONS_MAX = "5";

  test("one by one", async () => {
    await using relay = await startRelay({ BATON_API_KEYS, BATON_KEY_PUBLICATIONS_MAX });
    const answers = await Promise.all(Array.from({ length: 50 }, () => publish(relay, one)));
    const refused = answers.find(({ status }) => status === 429);
    expect(refused?.json.error.code).toBe("too_many_key_publications");
    expect(refused?.headers.get("retry-after")).toBe("1");
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(5);
    expect((await publish(relay, one, KEYS[1])).status).toBe(200);
  });

  test("in arrays, which are taken whole and paid for by a longer wait", async () => {
    await using relay = await startRelay({ BATON_API_KEYS, BATON_KEY_PUBLICATIONS_MAX });
    const { json } = await publish(
      relay,
      Array.from({ length: 1_000 }, () => one),
    );
    expect(json).toHaveLength(1_000);
    const refused = await publish(relay, one);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(60);
  });

  test("through /api, however many a request has", async () => {
    await using relay = await startRelay({ BATON_API_KEYS, BATON_KEY_PUBLICATIONS_MAX });
    const channels = Array.from({ length: 200 }, (_, i) => `t${i}`);
    const broadcast = await relay.post("/api/broadcast", { channels, data: 1 }, withKey(KEYS[0]));
    expect(broadcast.json.result.responses).toHaveLength(200);
    const command = { publish: { channel: "tech", data: 1 } };
    for (const [path, body] of [
      ["/api/publish", command.publish],
      ["/api/batch", { commands: [command] }],
      ["/api", { method: "publish", params: command.publish }],
    ] as const) {
      expect((await relay.post(path, body, withKey(KEYS[0]))).text).toContain('"code":111');
    }
    const headers = { ...withKey(KEYS[0]), "x-centrifugo-error-mode": "transport" };
    expect((await relay.post("/api/publish", command.publish, headers)).status).toBe(429);
  });

  test("line by line, where the lines wait and none is refused", async () => {
    await using relay = await startRelay({ BATON_API_KEYS, BATON_KEY_PUBLICATIONS_MAX: "50" });
    const client = await relay.open(
      (await relay.post("/register", { user_id: 1 }, withKey(KEYS[1]))).json.url,
    );
    const lines = await OpenPublish.open(relay.port, [`X-API-Key: ${KEYS[0]}`]);
    const messages = Array.from({ length: 100 }, (_, i) => `m${i}`);
    const begun = performance.now();
    lines.send(
      messages.map((message) => `${JSON.stringify({ topic: "tech", message })}\n`).join(""),
    );
    for (const _ of messages) expect((await lines.next()).delivered).toBe(1);
    // 50 at once, and 50 more in a second.
    expect(performance.now() - begun).toBeGreaterThan(900);
    expect(await client.take(100)).toEqual(messages);
    lines.end();
    await lines.ended();
  });

  const linesOf = (count: number) => `${JSON.stringify(one)}\n`.repeat(count);

  test("line by line, also when the publisher hangs up while its lines wait", async () => {
    await using relay = await startRelay({ BATON_API_KEYS, BATON_KEY_PUBLICATIONS_MAX: "5" });
    const open = () => OpenPublish.open(relay.port, [`X-API-Key: ${KEYS[0]}`]);
    for (let i = 0; i < 3; i++) {
      const lines = await open();
      lines.send(linesOf(900));
      await lines.next();
      lines.raw.reset();
    }
    await until("all to be gone", () => relay.running.openRequests.size === 0);
    const last = await open();
    last.send(linesOf(1));
    // 5 at once, and 5 a second; it would take 100 seconds to get to this one.
    expect((await last.next()).offset).toBeLessThan(500);
    last.raw.reset();
  });

  test("line by line, where a publisher whose lines wait is not taken for one that is silent", async () => {
    await using relay = await startRelay({
      BATON_API_KEYS,
      BATON_KEY_PUBLICATIONS_MAX: "5",
      BATON_PUBLISH_IDLE_MS: "1000",
    });
    const lines = await OpenPublish.open(relay.port, [`X-API-Key: ${KEYS[0]}`]);
    lines.send(`${linesOf(13)}{"topic":`);
    for (let offset = 1; offset <= 13; offset++) expect((await lines.next()).offset).toBe(offset);
    lines.raw.reset();
  });
});

test("without keys nobody has a share", async () => {
  await using relay = await startRelay({
    BATON_KEY_REQUESTS_MAX: "1",
    BATON_KEY_PUBLICATIONS_MAX: "1",
  });
  const answers = await Promise.all(Array.from({ length: 30 }, () => publish(relay, one, "any")));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
});
