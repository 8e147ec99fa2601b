// The topics with which a connection begins, before and after its first command.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { JsonClient } from "../../support/clients/json-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("the first topics of a connection", () => {
  test("are subscribed by themselves for a client that sends nothing, and nothing published before that is lost", async () => {
    const client = await JsonClient.connect(relay);
    await relay.publish("tech", "at once");
    expect((await client.next()).data).toBe("at once");
    await relay.publish("tech", "live");
    expect((await client.next()).data).toBe("live");
    await client.expectNothingElse();
    await client.leave();
  });

  test("are those of the registration, if it names any", async () => {
    const { url } = (await relay.post("/register", { user_id: 1, topics: ["first"] })).json;
    const client = await JsonClient.open(relay, url);
    await relay.publishMany("first", 1);
    expect(await client.takeTexts(1)).toEqual(["m1 at 1"]);
    await client.leave();
    const back = await JsonClient.open(relay, url);
    await relay.publishMany("first", 1, 2);
    expect(await back.takeTexts(1)).toEqual(["m2 at 2"]);
  });

  test("wait for a first command with positions, and each publication then comes once", async () => {
    for (const since of [true, false]) {
      const top = await relay.publishMany("tech", 3);
      const client = await JsonClient.connect(relay);
      await relay.publishMany("tech", 3, 4);
      const given = { tech: { ...top, offset: top.offset - 1 } };
      const { tech } = await client.choose(["tech"], since ? given : undefined);
      expect(tech.recovered).toBe(since ? true : undefined);
      const data = since ? ["m3", "m4", "m5", "m6"] : ["m4", "m5", "m6"];
      const offset = top.offset + 4 - data.length;
      expect(await client.takeTexts(data.length)).toEqual(
        data.map((m, i) => `${m} at ${offset + i}`),
      );
      await relay.publishMany("tech", 1, 7);
      expect(await client.takeTexts(1)).toEqual([`m7 at ${top.offset + 4}`]);
      await client.expectNothingElse();
      await client.leave();
    }
  });

  test("are dropped by a first command that does not name them", async () => {
    const client = await JsonClient.connect(relay);
    await relay.publish("tech", "not wanted");
    await client.choose(["wanted"]);
    await relay.publish("tech", "not wanted either");
    await client.expectNothingElse();
  });

  test("deliver each publication once, also if the first command comes after they were subscribed", async () => {
    const client = await JsonClient.connect(relay);
    const { epoch, offset } = await relay.publishMany("tech", 1);
    expect(await client.takeTexts(1)).toEqual([`m1 at ${offset}`]);
    await relay.publishMany("tech", 1, 2);
    const since = { tech: { epoch, offset } };
    client.send({ topics: ["tech"], since });
    expect(await client.takeTexts(1)).toEqual([`m2 at ${offset + 1}`]);
    expect((await client.next()).topics.tech.recovered).toBe(true);
    await client.expectNothingElse();
    await client.leave();
  });
});
