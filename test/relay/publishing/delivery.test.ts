// What is published arrives over real sockets, byte for byte, once and in order.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  // One test changes topics as fast as it can, faster than any client may by default.
  relay = await startRelay({ BATON_LOG_LEVEL: "info", BATON_CONNECTION_FRAMES_MAX: "10000000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

test("two connections of a user both receive what is published to the default topic", async () => {
  const phone = await relay.connect(1);
  const laptop = await relay.connect(1);
  expect(await relay.publish("tech", "hi")).toBe(2);
  expect(await phone.next()).toBe("hi");
  expect(await laptop.next()).toBe("hi");
  await Promise.all([phone.close(), laptop.close()]);
});

test("a message for one user reaches that user's subscribed connections and no others", async () => {
  const phone = await relay.connect(7, ["orders", "news"]);
  const laptop = await relay.connect("7", ["orders"]);
  const other = await relay.connect(8, ["orders"]);
  const elsewhere = await relay.connect(7, ["news"]);
  expect(await relay.publish("orders", "yours", 7)).toBe(2);
  expect(await phone.next()).toBe("yours");
  expect(await laptop.next()).toBe("yours");
  expect(await other.rest()).toEqual([]);
  expect(await elsewhere.rest()).toEqual([]);
});

test("a message arrives byte for byte, whatever its text", async () => {
  const client = await relay.connect("bytes", ["bytes"]);
  const messages = [
    "",
    " ",
    "\u0000",
    "\r\n",
    "123",
    '{"a": 1.0, "b": 1e400}',
    "e\u0301é",
    "\ufeffx",
    "\ufffd",
  ];
  for (const message of messages) {
    await relay.publish("bytes", message);
    expect(await client.next()).toBe(message);
  }
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 300 }), async (message) => {
      await relay.publish("bytes", message);
      expect(await client.next()).toBe(message);
    }),
    { numRuns: 200 },
  );
  const large = "😀".repeat(16_384);
  await relay.publish("bytes", large);
  expect(await client.next()).toBe(large);
});

test("messages of one publisher arrive in the order in which they were accepted", async () => {
  const clients = await Promise.all([1, 2, 3].map((user) => relay.connect(user, ["order"])));
  const sent = Array.from({ length: 500 }, (_, i) => `message ${i}`);
  for (const message of sent) expect(await relay.publish("order", message)).toBe(3);
  for (const client of clients) expect(await client.take(500)).toEqual(sent);
});

test("messages to all and to one user, in turn, keep one order", async () => {
  const client = await relay.connect("mixed", ["mixed"]);
  const sent = Array.from({ length: 300 }, (_, i) => `message ${i}`);
  for (const [i, message] of sent.entries()) {
    await relay.publish("mixed", message, i % 2 === 0 ? undefined : "mixed");
  }
  expect(await client.take(300)).toEqual(sent);
});

test("every client receives every message of many publishers at once, each once", async () => {
  const clients = await Promise.all([1, 2].map((user) => relay.connect(user, ["storm"])));
  const sent = Array.from({ length: 1_000 }, (_, i) => `message ${i}`);
  const counts = await Promise.all(sent.map((message) => relay.publish("storm", message)));
  expect(new Set(counts)).toEqual(new Set([2]));
  for (const client of clients) {
    expect((await client.take(1_000)).toSorted()).toEqual(sent.toSorted());
    expect(await client.rest()).toEqual([]);
  }
});

test("a connection with several topics receives each message of these topics once, and no others", async () => {
  const client = await relay.connect("several", ["x", "y", "y"]);
  await relay.publish("x", "of x");
  await relay.publish("z", "of z");
  await relay.publish("y", "of y");
  expect(await client.take(2)).toEqual(["of x", "of y"]);
  expect(await client.rest()).toEqual([]);
});

test("two names that differ only in Unicode normalization (NFC and NFD) are two topics", async () => {
  const client = await relay.connect("nfc", ["\u00e9"]);
  expect(await relay.publish("e\u0301", "no")).toBe(0);
  expect(await relay.publish("\u00e9", "yes")).toBe(1);
  expect(await client.next()).toBe("yes");
});

test("choosing topics replaces the previous ones, the default topic too", async () => {
  const client = await relay.connect("chooser", ["a"]);
  expect(await relay.publish("tech", "not mine", "chooser")).toBe(0);
  client.send({ topics: ["b"] });
  await client.settled();
  expect(await relay.publish("a", "old")).toBe(0);
  expect(await relay.publish("b", "new")).toBe(1);
  expect(await client.next()).toBe("new");
  client.send({ topics: [] });
  await client.settled();
  expect(await relay.publish("b", "none")).toBe(0);
});

describe("while topics change under a stream of publications", () => {
  test("a topic that the client keeps arrives completely and in order", async () => {
    const client = await relay.connect("changer", ["kept"]);
    const sent = Array.from({ length: 300 }, (_, i) => `message ${i}`);
    let changing = true;
    const changes = (async () => {
      for (let i = 0; changing; i++) {
        client.send({ topics: ["kept", `other ${i % 10}`] });
        await client.settled();
      }
    })();
    for (const message of sent) {
      await Promise.all([relay.publish("kept", message), relay.publish("other 3", "noise")]);
    }
    changing = false;
    await changes;
    const received = [...(await client.rest())];
    expect(received.filter((message) => message !== "noise")).toEqual(sent);
  });

  test("a message that is published while a client leaves its last topic arrives if it counts as delivered", async () => {
    const client = await relay.connect("leaver", ["last"]);
    for (let i = 0; i < 100; i++) {
      client.send({ topics: ["last"] });
      await client.settled();
      const published = relay.publish("last", `message ${i}`);
      client.send({ topics: [] });
      // If the frame came first, the message was delivered to nobody; otherwise it arrives.
      const delivered = await published;
      expect(await client.rest()).toHaveLength(delivered);
    }
  });
});

test("no user receives a message for another user", async () => {
  const users = ["0", "1", "a", "A", "é", "e\u0301", "\ufffd", "😀", "__proto__"];
  const clients = await Promise.all(users.map((user) => relay.connect(user, ["private"])));
  for (const user of users) await relay.publish("private", `for ${user}`, user);
  for (const [i, client] of clients.entries()) {
    expect(await client.rest()).toEqual([`for ${users[i]}`]);
  }
});
