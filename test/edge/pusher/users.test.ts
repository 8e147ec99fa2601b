// Pusher clients that sign in as a user.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { PUSHER_ENV } from "../../support/pusher/app";
import { authOf, PusherClient } from "../../support/pusher/socket-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay(PUSHER_ENV);
});
afterAll(() => relay[Symbol.asyncDispose]());

const connect = () => PusherClient.open(relay.url);

const publish = (topic: string, message: string, more = {}) =>
  relay.post("/publish", { topic, message, ...more });

const LONG_DATA = JSON.stringify({ id: "u1", n: "é".repeat(5_120) });

describe("signing in", () => {
  test("opens the user's own channel and no other", async () => {
    const client = await connect();
    client.subscribe("#server-to-user-u1");
    expect((await client.next()).event).toBe("pusher:subscription_error");
    client.signIn({ id: "u1", n: "é" });
    expect(await client.next()).toEqual({
      event: "pusher:signin_success",
      data: JSON.stringify({ user_data: '{"id":"u1","n":"é"}' }),
    });
    await client.subscribed("#server-to-user-u1");
    for (const other of ["u2", "u1,u2", "", "u2#u1"]) {
      client.subscribe(`#server-to-user-${other}`);
      expect([other, (await client.next()).event]).toEqual([other, "pusher:subscription_error"]);
    }
    client.subscribe("#u1");
    expect((await client.next()).event).toBe("pusher:error");
    await publish("#u1", "for you", { event: "hello" });
    expect(await client.next()).toEqual({
      event: "hello",
      channel: "#server-to-user-u1",
      data: "for you",
    });
    await client.subscribed("chat#u1,u2");
    await publish("chat#u1,u2", "for two");
    expect((await client.next()).data).toBe("for two");
  });

  test("makes the client one of the user's connections, and ends with 4009 when the backend disconnects the user", async () => {
    const client = await connect();
    client.signIn({ id: "u3" });
    await client.next();
    await client.subscribed("news");
    await publish("news", "for one", { user_id: "u3" });
    expect((await client.next()).data).toBe("for one");
    const { json } = await relay.request("GET", "/users/u3/connections");
    expect(json.connections).toMatchObject([{ id: client.socketId, protocol: "pusher" }]);
    await relay.request("DELETE", "/users/u3/connections");
    expect((await client.next()).data.code).toBe(4009);
    expect((await client.closed).code).toBe(4009);
    await until(
      "the connection to be gone",
      () => relay.running.relay.connections.byId(client.socketId) === undefined,
    );
  });

  test.each([
    [
      "a signature for another connection",
      (id: string) => `${id}1::user::{"id":"u1"}`,
      '{"id":"u1"}',
      "The signature (auth)",
    ],
    ["an id that is a number", (id: string) => `${id}::user::{"id":1}`, '{"id":1}', "a text"],
    ["an empty id", (id: string) => `${id}::user::{"id":""}`, '{"id":""}', "not be empty"],
    [
      "more than 10,240 bytes",
      (id: string) => `${id}::user::${LONG_DATA}`,
      LONG_DATA,
      "at most 10240 bytes",
    ],
    ["data that are not JSON", (id: string) => `${id}::user::x`, "x", "must have an id"],
  ])("with %s ends the connection with 4009, and says why", async (_, text, user_data, why) => {
    const client = await connect();
    client.send("pusher:signin", { auth: authOf(text(client.socketId)), user_data });
    const { code, message } = (await client.next()).data;
    expect([code, message]).toEqual([4009, expect.stringContaining(why)]);
    expect((await client.closed).code).toBe(4009);
  });

  test("beyond the user's connections is refused, and the connection goes on without a user", async () => {
    await using strict = await startRelay({ ...PUSHER_ENV, BATON_USER_CONNECTIONS_MAX: "1" });
    const [first, second] = [
      await PusherClient.open(strict.url),
      await PusherClient.open(strict.url),
    ];
    first.signIn({ id: "u6" });
    expect((await first.next()).event).toBe("pusher:signin_success");
    second.signIn({ id: "u6" });
    expect((await second.next()).data.code).toBe(4301);
    second.subscribe("#server-to-user-u6");
    expect((await second.next()).event).toBe("pusher:subscription_error");
    await second.subscribed("news");
    await first.close();
    await until("room for the second", async () => {
      second.signIn({ id: "u6" });
      return (await second.next()).event === "pusher:signin_success";
    });
  });

  test("as somebody else ends the connection, and again as the same user is answered", async () => {
    const client = await connect();
    for (let i = 0; i < 2; i++) {
      client.signIn({ id: "u4" });
      expect((await client.next()).event).toBe("pusher:signin_success");
    }
    client.signIn({ id: "u5" });
    const { code, message } = (await client.next()).data;
    expect([code, message]).toEqual([4009, expect.stringContaining("another user")]);
  });
});
