// The log: what users send cannot forge a line, no line has a secret, and messages are not logged. Rows I3 and I4 of the
// fault catalogue.
import { expect, test } from "bun:test";
import { createLog } from "../src/log";
import { sanitized } from "../src/relay/text/visible";
import { SECRET, token } from "./support/centrifuge/sdk";
import { idOf, startRelay } from "./support/relay/test-relay";
import { until } from "./support/wait";

test("I4: sanitized() leaves nothing that moves a cursor, breaks a line or turns the reading direction", () => {
  const evil = "a\r\n\u001b[2J\u0085\u009b\u2028\u2029\u202e\u2066b\ud800";
  const text = sanitized(evil);
  expect(text).toMatch(/^[\x20-\x7e\ufffd]+$/);
  expect(text).toContain("\\u001b[2J");
  expect(sanitized("x".repeat(10_000)).length).toBeLessThan(210);
});

test("I4: a log line is one JSON object, whatever it contains", () => {
  const lines: string[] = [];
  const log = createLog("info", { write: (line) => void lines.push(line) });
  log.info({ user: sanitized('"}\n{"level":60,"msg":"forged') }, "something");
  expect(lines).toHaveLength(1);
  expect(lines[0]?.trimEnd()).not.toContain("\n");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: 30, msg: "something" });
});

test("messages, registrations and connections are not logged at the default level", async () => {
  await using relay = await startRelay({ BATON_LOG_LEVEL: "info" });
  const client = await relay.connect();
  for (let i = 0; i < 100; i++) await relay.publish("tech", "secret");
  client.send("garbage");
  await client.take(101);
  await client.close();
  expect(relay.log).toEqual([]);
});

test("I4: a closed connection is logged at debug level, with its user escaped", async () => {
  await using relay = await startRelay({ BATON_LOG_LEVEL: "debug" });
  const client = await relay.connect("evil\u202e\u2028user");
  await client.close();
  await until("the line", () => relay.log.length > 0);
  const line = JSON.parse(relay.log[0] ?? "");
  expect(line).toMatchObject({
    msg: "connection closed",
    user: "evil\\u202e\\u2028user",
    code: 1000,
  });
});

test("I3: no id that opens a connection, no session's secret, no token and no key is ever logged", async () => {
  const key = "a-long-enough-api-key";
  const headers = { "x-api-key": key };
  await using relay = await startRelay({
    BATON_LOG_LEVEL: "trace",
    BATON_API_KEYS: key,
    BATON_TOKEN_SECRET: SECRET,
  });
  const secrets = [key];
  for (const format of ["", "?format=json"]) {
    const { url } = (await relay.post("/register", { user_id: 1 }, headers)).json;
    secrets.push(idOf(url));
    const client = await relay.open(url + format);
    for (const connection of relay.running.relay.connections.all()) {
      relay.running.relay.connections.end(connection, "slow_consumer");
    }
    await client.closed;
  }
  const { sse } = (await relay.post("/register", { user_id: 1 }, headers)).json;
  secrets.push(idOf(sse));
  await (await fetch(sse)).body?.cancel();
  const good = await token({ sub: "42" });
  const bad = `${good}x`;
  secrets.push(good.slice(-20));
  for (const one of [good, bad]) {
    const commands = encodeURIComponent(`{"id":1,"connect":{"token":"${one}"}}`);
    const stream = await fetch(`${relay.url}/connection/sse?cf_connect=${commands}`);
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    while (!text.includes("data:")) text += new TextDecoder().decode((await reader.read()).value);
    const secret = /"session":"(\w+)"/.exec(text)?.[1];
    if (secret !== undefined) secrets.push(secret);
    await reader.cancel();
  }
  await until("all closes to be logged", () => relay.log.length >= 5);
  expect(secrets).toHaveLength(6);
  for (const secret of secrets) expect(relay.log.join("")).not.toContain(secret);
});
