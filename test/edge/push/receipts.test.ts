// Whether the user of a publication with a push has it, as far as connections know.
import { expect, test } from "bun:test";
import type { ReceiptAnswer } from "../../../src/relay/publishing/receipts";
import { JsonClient } from "../../support/clients/json-client";
import { RawSocket } from "../../support/clients/raw-socket";
import { PUSH_ENV } from "../../support/push/push-relay";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

/** No push is due as long as the tests run. */
const ENV = { ...PUSH_ENV, BATON_PUSH_AFTER_MS: "600000" };

/** Publishes to ann with a push; the function asks what became of it. */
async function published(relay: TestRelay, topic = "chat"): Promise<() => Promise<ReceiptAnswer>> {
  const push = { title: "hi" };
  const { json } = await relay.post("/publish", { topic, message: "hi", user_id: "ann", push });
  const { epoch, offset } = json;
  const page = await relay.running.relay.backend.history(topic, {
    limit: 1,
    limitMax: 1,
    reverse: true,
  });
  if (!("publications" in page)) throw new Error("no history");
  const id = page.publications[0]?.push ?? "";
  const question = { id, user: "ann", topic, position: { epoch, offset } };
  return async () => (await relay.running.relay.receipts.ask([question]))[0] as ReceiptAnswer;
}

test("nobody who is connected, or another user who is, has missed it", async () => {
  await using relay = await startRelay(ENV);
  await relay.connect("bob", ["chat"]);
  const answer = await published(relay);
  expect(await answer()).toBe("missed");
});

test("a client that has got it and answers a ping has taken it, and still has when it closes its connection", async () => {
  await using relay = await startRelay(ENV);
  const client = await relay.connect("ann", ["chat"]);
  const answer = await published(relay);
  await until("the pong", async () => (await answer()) === "taken");
  await client.close();
  await until("the close", () => relay.counts.connections === 0);
  expect(await answer()).toBe("taken");
});

test("a client that was sent it and answers no ping leaves it unsure, and has missed it when its time is over", async () => {
  await using relay = await startRelay({ ...ENV, BATON_PONG_MS: "500" });
  await RawSocket.upgrade(await relay.register("ann"));
  const answer = await published(relay, "tech");
  expect(await answer()).toBe("unsure");
  await until("the end of its time", async () => (await answer()) === "missed");
});

test("a client whose connection is lost right after it was sent has missed it", async () => {
  await using relay = await startRelay(ENV);
  const socket = await RawSocket.upgrade(await relay.register("ann"));
  const answer = await published(relay, "tech");
  socket.drop();
  await until("the loss", async () => (await answer()) === "missed");
});

test("a client that comes back and recovers it has taken it", async () => {
  await using relay = await startRelay(ENV);
  const before = await relay.publishMany("chat", 1);
  const answer = await published(relay);
  expect(await answer()).toBe("missed");
  const client = await JsonClient.connect(relay, "ann");
  await client.choose(["chat"], { chat: before });
  expect(await client.takeTexts(1)).toEqual(["hi at 2"]);
  expect(await answer()).toBe("taken");
});

test("a client that comes back without a position has missed it, and one that says that it has it has taken it", async () => {
  await using relay = await startRelay(ENV);
  const answer = await published(relay);
  const fresh = await JsonClient.connect(relay, "ann");
  const { chat } = await fresh.choose(["chat"]);
  expect(await answer()).toBe("missed");
  const other = await JsonClient.connect(relay, "ann");
  await other.choose(["chat"], { chat });
  expect(await answer()).toBe("taken");
});
