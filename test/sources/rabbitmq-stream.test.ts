// Whether a stream of RabbitMQ is still the one whose messages were published, which only its messages show.
import { expect, test } from "bun:test";
import type { ConsumeMessage } from "amqplib";
import type { SourceContext } from "../../src/sources/contract";
import { positionOf } from "../../src/sources/rabbitmq/record";
import { StreamLife } from "../../src/sources/rabbitmq/stream-life";

const OPTIONS = { url: "amqp://127.0.0.1", stream: "s", dead_letters: "d" };

function message(offset: number, text: string): ConsumeMessage {
  const properties = { headers: { "x-stream-offset": offset } };
  return { content: Buffer.from(text), properties } as unknown as ConsumeMessage;
}

/** Opens the stream where the engine has these positions, of what was published and of what was buried; warnings are collected. */
async function opened(
  positions: Readonly<Record<string, string>>,
  done: Readonly<Record<string, string>> = {},
) {
  const warnings: string[] = [];
  const context = {
    warn: (sentence: string) => warnings.push(sentence),
    lastPosition: async (partition: string) => positions[partition],
    donePosition: async (partition: string) => done[partition],
  } as unknown as SourceContext;
  return { life: await StreamLife.open(OPTIONS, context), warnings };
}

const published = (offset: number, text: string) => positionOf(message(offset, text), offset);

test("a stream of which nothing was published is read from its first message", async () => {
  const { life } = await opened({});
  expect(life.beginning).toBe("first");
  expect(life.missingBefore(4)).toBeUndefined();
  expect(life.placeOf(message(0, "a"))).toEqual({ partition: "s", offset: 0 });
  expect(life.beginning).toBe(1);
  expect(life.missingBefore(4)).toBe(3);
  expect(life.missingBefore(0)).toBe(0);
});

test("a stream goes on with the last message that was published, which may be published in part", async () => {
  const { life, warnings } = await opened({ s: published(7, "a") });
  expect(life.beginning).toBe(7);
  expect(life.placeOf(message(7, "a"))).toEqual({ partition: "s", offset: 7 });
  expect(warnings).toEqual([]);
});

test("a message that was buried behind the last publication is not buried again", async () => {
  const { life } = await opened({ s: published(7, "a") }, { s: published(9, "dead") });
  expect(life.beginning).toBe(9);
  expect(life.placeOf(message(9, "dead"))).toBe("done");
  expect(life.placeOf(message(10, "b"))).toEqual({ partition: "s", offset: 10 });
});

test("what was published behind a buried message counts", async () => {
  const { life } = await opened({ s: published(7, "a") }, { s: published(6, "dead") });
  expect(life.beginning).toBe(7);
  expect(life.placeOf(message(7, "a"))).toEqual({ partition: "s", offset: 7 });
});

test("a stream with another message at that place was made anew: it is read from its first message, in another life", async () => {
  const { life, warnings } = await opened({ s: published(7, "a") });
  expect(life.placeOf(message(7, "b"))).toBeUndefined();
  expect(life.beginning).toBe(0);
  expect(life.placeOf(message(0, "b"))).toEqual({ partition: "s@1", offset: 0 });
  expect(warnings).toEqual([expect.stringContaining("made anew")]);
});

test("a stream that is shorter than what was published was made anew", async () => {
  const { life } = await opened({ s: published(7, "a"), "s@1": published(5, "a") });
  expect(life.beginning).toBe(5);
  expect(life.placeOf(message(3, "a"))).toBeUndefined();
  expect(life.placeOf(message(0, "b"))).toEqual({ partition: "s@2", offset: 0 });
});

test("messages that were removed before they were read are counted in a warning", async () => {
  const { life, warnings } = await opened({ s: published(7, "a") });
  expect(life.placeOf(message(10, "b"))).toEqual({ partition: "s", offset: 10 });
  expect(warnings).toEqual([expect.stringMatching(/^2 messages/)]);
});
