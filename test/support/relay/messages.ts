// Messages for a load, and the publisher that sends them at a steady rate.
import { expect } from "bun:test";
import type { RelayProcess } from "./relay-process";

/** The body of POST /publish. */
export interface Message {
  readonly topic: string;
  readonly message: string;
  readonly user_id?: string;
}

interface MessageOptions {
  readonly topics: readonly string[];
  /** Every third message is for one of these alone. */
  readonly users?: readonly string[];
  readonly random: () => number;
}

/** Makes m0, m1… to these topics at random. */
export function randomMessages(
  count: number,
  { topics, users = [], random }: MessageOptions,
): Message[] {
  return Array.from({ length: count }, (_, i) => {
    const topic = oneOf(topics, random);
    const isForOne = i % 3 === 0 && users.length > 0;
    return { topic, message: `m${i}`, ...(isForOne && { user_id: oneOf(users, random) }) };
  });
}

/** Publishes the messages one by one, in their order, at this rate. */
export async function publishAtRate(
  relay: RelayProcess,
  messages: readonly Message[],
  perSecond: number,
): Promise<void> {
  const begun = performance.now();
  for (const [i, message] of messages.entries()) {
    const earlyMs = begun + (i * 1_000) / perSecond - performance.now();
    if (earlyMs > 1) await Bun.sleep(earlyMs);
    const answer = await relay.post("/publish", message);
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
  }
}

function oneOf(all: readonly string[], random: () => number): string {
  return all[Math.floor(random() * all.length)] as string;
}
