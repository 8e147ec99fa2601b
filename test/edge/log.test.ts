// Row I4 of the fault catalogue: what users send cannot forge a line, and nothing is logged for each message.
import { expect, test } from "bun:test";
import { createLog, shown } from "../../src/edge/log";
import { startRelay } from "../support/relay";
import { until } from "../support/wait";

test("shown() leaves nothing that moves a cursor, breaks a line or turns the reading direction", () => {
  const evil = "a\r\n\u001b[2J\u0085\u009b\u2028\u2029\u202e\u2066b\ud800";
  const text = shown(evil);
  expect(text).toMatch(/^[\x20-\x7e\ufffd]+$/);
  expect(text).toContain("\\u001b[2J");
  expect(shown("x".repeat(10_000)).length).toBeLessThan(210);
});

test("a line is one JSON object whatever it carries", () => {
  const lines: string[] = [];
  const log = createLog("info", { write: (line) => void lines.push(line) });
  log.info({ user: shown('"}\n{"level":60,"msg":"forged') }, "something");
  expect(lines).toHaveLength(1);
  expect(lines[0]?.trimEnd()).not.toContain("\n");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: 30, msg: "something" });
});

test("nothing is logged for a message, a registration or a connection at the default level", async () => {
  await using relay = await startRelay({ BATON_LOG_LEVEL: "info" });
  const client = await relay.connect();
  for (let i = 0; i < 100; i++) await relay.publish("tech", "secret");
  client.send("garbage");
  await client.take(101);
  await client.close();
  expect(relay.log).toEqual([]);
});

test("a closed connection is logged at debug, its user escaped", async () => {
  await using relay = await startRelay({ BATON_LOG_LEVEL: "debug" });
  const client = await relay.connect("evil\n\u2028user");
  await client.close();
  await until("the line", () => relay.log.length > 0);
  const line = JSON.parse(relay.log[0] ?? "");
  expect(line).toMatchObject({
    msg: "connection closed",
    user: "evil\\u000a\\u2028user",
    code: 1000,
  });
});
