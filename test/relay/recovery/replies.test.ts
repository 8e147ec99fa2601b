// The reply to a client that gives positions: which topics are recovered, and what follows the reply. Rows C5, C7 and C15 of the
// fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Position } from "../../../src/relay/contracts/publication";
import { JsonClient } from "../../support/clients/json-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

/** How many publications a topic keeps here. */
const HISTORY_SIZE = 10;

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({
    BATON_HISTORY_SIZE: String(HISTORY_SIZE),
    BATON_TOPICS_FILE: topicsFile({
      "typing:": { history_size: 0 },
      "brief:": { history_ttl_ms: 20 },
    }),
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("the reply to a command with positions", () => {
  test("gives the top of each topic, and says whether it is recovered if a position was given", async () => {
    const three = await relay.publishMany("three", 3);
    const client = await JsonClient.connect(relay);
    const reply = await client.choose(["three", "new", "typing:b", "three"], { three });
    expect(reply).toEqual({
      three: { ...three, recovered: true },
      new: { offset: 0, epoch: expect.any(String) },
      "typing:b": {},
    });
    expect(await client.choose([])).toEqual({});
  });

  test("is followed by what was missed, then by what is live, each once and in order", async () => {
    const top = await relay.publishMany("order", 8);
    const client = await JsonClient.connect(relay);
    client.send({ topics: ["order"], since: { order: { ...top, offset: 5 } } });
    await relay.publishMany("order", 2, 9);
    expect((await client.next()).topics.order.recovered).toBe(true);
    const expected = [6, 7, 8, 9, 10].map((offset) => `m${offset} at ${offset}`);
    expect(await client.takeTexts(5)).toEqual(expected);
    await relay.publishMany("order", 1, 11);
    expect(await client.takeTexts(1)).toEqual(["m11 at 11"]);
    await client.expectNothingElse();
  });

  test("says recovered if nothing was missed, also before the first publication", async () => {
    const client = await JsonClient.connect(relay);
    const { still } = await client.choose(["still"]);
    const again = await JsonClient.connect(relay);
    const reply = await again.choose(["still"], { still });
    expect(reply.still).toEqual({ ...still, recovered: true });
    const top = await relay.publishMany("still", 2);
    const third = await JsonClient.connect(relay);
    expect((await third.choose(["still"], { still: top })).still.recovered).toBe(true);
    await third.expectNothingElse();
    const fourth = await JsonClient.connect(relay);
    expect((await fourth.choose(["still"], { still })).still.recovered).toBe(true);
    expect(await fourth.takeTexts(2)).toEqual(["m1 at 1", "m2 at 2"]);
  });

  test("is followed by a publication for one user to that user alone; for others its offset is skipped", async () => {
    const start = await relay.publishMany("private", 1);
    await relay.publish("private", "for 7", 7);
    await relay.publish("private", "for all");
    await relay.publish("private", "for seven", "7");
    await relay.publish("private", "for 8", 8);
    const seven = await JsonClient.connect(relay, "7");
    const eight = await JsonClient.connect(relay, 8);
    const nobody = await JsonClient.connect(relay, "nobody");
    for (const client of [seven, eight, nobody]) {
      const { private: result } = await client.choose(["private"], { private: start });
      expect(result).toEqual({ ...start, offset: 5, recovered: true });
    }
    expect(await seven.takeTexts(3)).toEqual(["for 7 at 2", "for all at 3", "for seven at 4"]);
    expect(await eight.takeTexts(2)).toEqual(["for all at 3", "for 8 at 5"]);
    expect(await nobody.takeTexts(1)).toEqual(["for all at 3"]);
    for (const client of [seven, eight, nobody]) await client.expectNothingElse();
  });

  test.each([
    ["beyond the top", (top: Position) => ({ ...top, offset: top.offset + 1 })],
    ["far beyond the top", (top: Position) => ({ ...top, offset: Number.MAX_SAFE_INTEGER })],
    ["of another epoch", (top: Position) => ({ ...top, epoch: "abcdefgh" })],
    ["of another epoch, at the top", (top: Position) => ({ offset: top.offset, epoch: "x" })],
    ["of an empty epoch", (top: Position) => ({ ...top, epoch: "" })],
    [
      "just below what is kept",
      (top: Position) => ({ ...top, offset: top.offset - HISTORY_SIZE - 1 }),
    ],
    ["at the beginning, which is not kept", (top: Position) => ({ ...top, offset: 0 })],
  ])(
    "says recovered: false to a position %s, and nothing of what was missed follows",
    async (name, wrong) => {
      const topic = `lost ${name}`;
      const top = await relay.publishMany(topic, 2 * HISTORY_SIZE);
      const client = await JsonClient.connect(relay);
      const reply = await client.choose([topic], { [topic]: wrong(top) });
      expect(reply[topic]).toEqual({ ...top, recovered: false });
      await relay.publishMany(topic, 1, 2 * HISTORY_SIZE + 1);
      expect(await client.takeTexts(1)).toEqual([
        `m${2 * HISTORY_SIZE + 1} at ${2 * HISTORY_SIZE + 1}`,
      ]);
      await client.expectNothingElse();
    },
  );

  test("says recovered to the oldest position after which everything is kept", async () => {
    const top = await relay.publishMany("edge", 2 * HISTORY_SIZE);
    const client = await JsonClient.connect(relay);
    const oldest = { ...top, offset: top.offset - HISTORY_SIZE };
    expect((await client.choose(["edge"], { edge: oldest })).edge.recovered).toBe(true);
    expect(await client.takeTexts(HISTORY_SIZE)).toHaveLength(HISTORY_SIZE);
  });

  test("says recovered: false if what was missed has become too old", async () => {
    const top = await relay.publishMany("brief:a", 2);
    const kept = async () =>
      (await relay.request("GET", "/topics/brief:a/history")).json.publications.length;
    await until("the publications to be too old", async () => (await kept()) === 0);
    const client = await JsonClient.connect(relay);
    const missed = await client.choose(["brief:a"], { "brief:a": { ...top, offset: 1 } });
    expect(missed["brief:a"]).toEqual({ ...top, recovered: false });
    const other = await JsonClient.connect(relay);
    const none = await other.choose(["brief:a"], { "brief:a": top });
    expect(none["brief:a"]).toEqual({ ...top, recovered: true });
    await client.expectNothingElse();
  });

  test("says it of each topic by itself", async () => {
    const [lost, whole] = [await relay.publishMany("lost", 3), await relay.publishMany("whole", 3)];
    const client = await JsonClient.connect(relay);
    const since = { lost: { ...lost, epoch: "other" }, whole: { ...whole, offset: 1 } };
    const reply = await client.choose(["lost", "whole"], since);
    expect(reply).toEqual({
      lost: { ...lost, recovered: false },
      whole: { ...whole, recovered: true },
    });
    expect(await client.takeTexts(2)).toEqual(["m2 at 2", "m3 at 3"]);
    await client.expectNothingElse();
  });

  test("treats topics that are named like properties of Object as any others", async () => {
    for (const topic of ["__proto__", "constructor", "toString"]) {
      const top = await relay.publishMany(topic, 2);
      const client = await JsonClient.connect(relay);
      const since = `{"${topic}":{"offset":1,"epoch":"${top.epoch}"}}`;
      client.send(`{"topics":["${topic}"],"since":${since}}`);
      const position = `"offset":2,"epoch":"${top.epoch}"`;
      expect(await client.nextText()).toBe(
        `{"topics":{"${topic}":{${position},"recovered":true}}}`,
      );
      expect(await client.nextText()).toBe(`{"topic":"${topic}","data":"m2",${position}}`);
      await relay.publish(topic, "live");
      expect((await client.next()).data).toBe("live");
    }
    expect(({} as { offset?: number }).offset).toBeUndefined();
    const client = await JsonClient.connect(relay);
    const since = '{"__proto__":{"offset":1,"epoch":"abcdefgh"}}';
    client.send(`{"topics":["own"],"since":${since}}`);
    expect((await client.next()).topics.own.recovered).toBeUndefined();
  });
});

describe("a topic that the connection already has", () => {
  test("is given nothing twice, whatever position comes with it", async () => {
    const start = await relay.publishMany("have", 3);
    const client = await JsonClient.connect(relay);
    await client.choose(["have"], { have: { ...start, offset: 1 } });
    expect(await client.takeTexts(2)).toEqual(["m2 at 2", "m3 at 3"]);
    const top = await relay.publishMany("have", 2, 4);
    expect(await client.takeTexts(2)).toEqual(["m4 at 4", "m5 at 5"]);
    const recovered = async (offset: number, epoch = top.epoch) =>
      (await client.choose(["have", "more"], { have: { offset, epoch } })).have;
    for (const offset of [1, 3, 5]) {
      expect(await recovered(offset)).toEqual({ ...top, recovered: true });
    }
    // What came before offset 1 would have to come first, and later publications have been sent.
    for (const lost of [await recovered(0), await recovered(6), await recovered(3, "other")]) {
      expect(lost).toEqual({ ...top, recovered: false });
    }
    expect((await client.choose(["have"])).have).toEqual(top);
    await relay.publishMany("have", 1, 6);
    expect(await client.takeTexts(1)).toEqual(["m6 at 6"]);
    await client.expectNothingElse();
  });

  test("can be left, and taken again from where it was left", async () => {
    const client = await JsonClient.connect(relay);
    await client.choose(["leave"]);
    const left = await relay.publishMany("leave", 1);
    expect(await client.takeTexts(1)).toEqual(["m1 at 1"]);
    await client.choose(["elsewhere"]);
    await relay.publishMany("leave", 2, 2);
    await client.expectNothingElse();
    const reply = await client.choose(["leave"], { leave: left });
    expect(reply.leave.recovered).toBe(true);
    expect(await client.takeTexts(2)).toEqual(["m2 at 2", "m3 at 3"]);
    await client.expectNothingElse();
  });
});
