// The file that BATON_TOPICS_FILE names, and the error line for a wrong one.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TopicRules } from "../../src/relay/contracts/topic-rules";
import { readSettings } from "../../src/settings/read";
import { startRelay } from "../support/relay/test-relay";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "baton-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileWith(text: string): string {
  const path = join(folder, "topics.json");
  writeFileSync(path, text);
  return path;
}

test("the rule with the longest matching prefix decides, and what it leaves out is as for all other topics", () => {
  const rules = new TopicRules(
    { historySize: 100, historyTtlMs: 1_000 },
    { "a:": { historySize: 1 }, "a:b:": { historyTtlMs: 5 }, a: { historySize: 7 } },
  );
  expect(rules.of("x")).toMatchObject({ historySize: 100, historyTtlMs: 1_000 });
  expect(rules.of("a")).toMatchObject({ historySize: 7, historyTtlMs: 1_000 });
  expect(rules.of("a:")).toMatchObject({ historySize: 1, historyTtlMs: 1_000 });
  expect(rules.of("a:b:c")).toMatchObject({ historySize: 100, historyTtlMs: 5 });
});

test("the rule of a prefix covers its private topics too, unless they have a rule of their own", () => {
  const rules = new TopicRules(
    { historySize: 100, historyTtlMs: 1_000 },
    { "a:": { historySize: 1 }, "b:": { historySize: 2 }, "$b:": { historySize: 3 } },
  );
  expect(rules.of("$a:x").historySize).toBe(1);
  expect(rules.of("$b:x").historySize).toBe(3);
  expect(rules.of("$$a:x").historySize).toBe(100);
  expect(rules.of("$a").historySize).toBe(100);
});

test("a prefix that no rule names is an error only where known prefixes are required", () => {
  const others = { historySize: 100, historyTtlMs: 1_000 };
  const byPrefix = { "": { historySize: 5 }, "a:": {} };
  const all = new TopicRules(others, byPrefix);
  const named = new TopicRules(others, byPrefix, "named");
  for (const topic of ["x", "$x", "#1", "a:", "a:b:c", "$a:x", "b:x"]) {
    expect(all.check(topic)).toBeUndefined();
    expect([topic, named.check(topic)?.code]).toEqual([
      topic,
      topic === "b:x" ? "unknown_topic" : undefined,
    ]);
  }
});

test("a relay with a topics file keeps as much history as its rules say", async () => {
  const path = fileWith('{"few:": {"history_size": 2}, "typing:": {"history_size": 0}}');
  await using relay = await startRelay({ BATON_TOPICS_FILE: path });
  for (let i = 0; i < 3; i++) {
    for (const topic of ["few:a", "typing:a", "other"]) await relay.publish(topic, String(i));
  }
  const kept = async (topic: string) =>
    (await relay.request("GET", `/topics/${topic}/history`)).json;
  expect((await kept("few:a")).publications).toHaveLength(2);
  expect((await kept("other")).publications).toHaveLength(3);
  expect((await kept("typing:a")).error.code).toBe("no_history");
});

test("a byte order mark, which editors on Windows write in front of a file, is ignored", () => {
  const path = fileWith('\ufeff{"few:": {"history_size": 2}}');
  expect(Object.keys(readSettings({ BATON_TOPICS_FILE: path }).topicRules)).toEqual(["few:"]);
});

describe("a wrong topics file stops the start with one line", () => {
  test.each([
    ["a file that is not JSON", "{", "cannot be read as JSON"],
    ["a file that is not an object", "[]", "Expected object"],
    ["a rule with an unknown field", '{"a:": {"size": 1}}', "/a:/size"],
    ["a rule with a number out of bounds", '{"a:": {"history_size": -1}}', "/a:/history_size"],
    ["a rule with a wave that waits too long", '{"a:": {"wave_ms": 1001}}', "/a:/wave_ms"],
    ["a rule with a fraction", '{"a:": {"history_ttl_ms": 1.5}}', "/a:/history_ttl_ms"],
    [
      "a rule with a text in place of a number",
      '{"a:": {"history_size": "1"}}',
      "/a:/history_size",
    ],
  ])("for %s", (_, text, part) => {
    const path = fileWith(text);
    const read = () => readSettings({ BATON_TOPICS_FILE: path });
    expect(read).toThrow(`BATON_TOPICS_FILE=${JSON.stringify(path)} is not allowed: `);
    expect(read).toThrow(part);
  });

  test("which shows only the beginning of what is wrong in a large one", () => {
    const path = fileWith(JSON.stringify({ ["a".repeat(10_000)]: "b".repeat(10_000) }));
    const read = () => readSettings({ BATON_TOPICS_FILE: path });
    expect(read).toThrow(/ at \/a{199}… it has "b{199}…: Expected/);
  });

  test("for a file that does not exist", () => {
    const path = join(folder, "nowhere.json");
    expect(() => readSettings({ BATON_TOPICS_FILE: path })).toThrow("ENOENT");
  });
});
