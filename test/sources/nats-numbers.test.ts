// The numbers of a JetStream message, in the subject that acknowledges it, as older and newer servers write it.
import { expect, test } from "bun:test";
import type { Msg } from "@nats-io/transport-node";
import { NatsRecord, numbersOf } from "../../src/sources/nats/record";

const message = (reply?: string) => ({ reply, data: new Uint8Array(3) }) as Msg;

test("the number in the stream and the one of the delivery are read from the subjects of older and of newer servers", () => {
  const numbers = { sequence: "4711", delivered: 12 };
  expect(numbersOf(message("$JS.ACK.ORDERS.baton-a.1.4711.12.1700000000.5"))).toEqual(numbers);
  const newer = "$JS.ACK.hub.ACCOUNT.ORDERS.baton-a.1.4711.12.1700000000.5.token";
  expect(numbersOf(message(newer))).toEqual(numbers);
});

test("what the server says itself has no numbers", () => {
  expect(numbersOf(message())).toBeUndefined();
  expect(numbersOf(message("_INBOX.x"))).toBeUndefined();
});

test("positions have the same length, and a body that is too large is not there but has its size", () => {
  const record = new NatsRecord("ORDERS@now", "4711", message(), 2);
  expect([record.position, record.body, record.size]).toEqual([
    "00000000000000004711",
    undefined,
    3,
  ]);
});
