// What most tests of streams do with a relay: register, connect, leave, and require that nothing else has come.
import { expect } from "bun:test";
import type { Position } from "../../../src/relay/contracts/publication";
import { EventStream, type StreamOptions } from "../clients/event-stream";
import { until } from "../wait";
import type { TestRelay } from "./test-relay";

/** Registers and resolves with the address for the stream. */
export async function registerStream(
  relay: TestRelay,
  user: number | string = 1,
  topics?: readonly string[],
): Promise<string> {
  return (await relay.registration(user, topics)).sse;
}

/** The address with these topics in its query. */
export function withTopics(url: string, ...topics: readonly string[]): string {
  return `${url}?topics=${topics.map((topic) => encodeURIComponent(topic)).join(",")}`;
}

/** Connects a stream of a new registration with these topics. */
export async function connectStream(
  relay: TestRelay,
  topics: readonly string[],
): Promise<EventStream> {
  return EventStream.open(withTopics(await registerStream(relay), ...topics));
}

/** Drops the connection of a stream and waits until the relay has noticed. */
export async function leaveStream(
  relay: TestRelay,
  stream: EventStream,
  url: string,
): Promise<void> {
  await stream.close();
  await until("the relay to notice that the stream has gone", () => !relay.isConnected(url));
}

/** Requests a stream that is refused, and resolves with the answer. */
export async function refusalOf(url: string, { headers = {} }: StreamOptions = {}) {
  const response = await fetch(url, { headers });
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into the error
  const json = (await response.json()) as any;
  return { status: response.status, headers: response.headers, code: json.error?.code };
}

/** A position as it stands in an event's id. */
export function idOfPosition(topic: string, { epoch, offset }: Position): string {
  return `${encodeURIComponent(topic)}=${epoch}:${offset}`;
}

/** Nothing came before what is published now, and no line that the standard does not know. */
export async function expectNothingElse(
  relay: TestRelay,
  stream: EventStream,
  topic: string,
): Promise<void> {
  const marker = `marker ${Math.random()}`;
  await relay.publish(topic, marker);
  expect(await stream.takeTexts(1)).toEqual([`${topic}: ${marker}`]);
  expect(stream.faults).toEqual([]);
}
