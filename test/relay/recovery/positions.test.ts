// Positions and formats that are refused. Row C7 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { JsonClient } from "../../support/clients/json-client";
import { handshake, RawSocket } from "../../support/clients/raw-socket";
import { idOf, startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("a bad position is answered by invalid_frame, and the connection keeps its topics", () => {
  test.each([
    '{"offset":-1,"epoch":"e"}',
    '{"offset":1.5,"epoch":"e"}',
    '{"offset":"1","epoch":"e"}',
    '{"offset":9007199254740993,"epoch":"e"}',
    '{"offset":1e400,"epoch":"e"}',
    '{"offset":null,"epoch":"e"}',
    '{"offset":true,"epoch":"e"}',
    '{"offset":1}',
    '{"epoch":"e"}',
    '{"offset":1,"epoch":1}',
    '{"offset":1,"epoch":null}',
    '{"offset":1,"epoch":"e","more":1}',
    "null",
    "5",
    "[]",
    "{}",
  ])("%s", async (position) => {
    const client = await JsonClient.connect(relay);
    const topics = ["mine", "line\u2028separator"];
    await client.choose(topics);
    for (const topic of [...topics, "__proto__"]) {
      client.send(`{"topics":["other"],"since":{${JSON.stringify(topic)}:${position}}}`);
      expect((await client.next()).error.code).toBe("invalid_frame");
    }
    expect(await relay.publish("other", "m")).toBe(0);
    for (const topic of topics) {
      expect(await relay.publish(topic, "m")).toBe(1);
      expect((await client.next()).topic).toBe(topic);
    }
    await client.leave();
  });

  test.each(["null", "[]", '"since"', "5"])("also if since itself is %s", async (since) => {
    const client = await JsonClient.connect(relay);
    client.send(`{"topics":["other"],"since":${since}}`);
    expect((await client.next()).error.code).toBe("invalid_frame");
    await client.leave();
  });

  test("also in the first frame, after which the connection still gets its first topics", async () => {
    const client = await JsonClient.connect(relay);
    client.send('{"topics":["other"],"since":{"other":{"offset":-1,"epoch":"e"}}}');
    expect((await client.next()).error.code).toBe("invalid_frame");
    await relay.publish("tech", "m");
    expect(await client.next()).toMatchObject({ topic: "tech", data: "m" });
    await client.leave();
  });
});

describe("the query of a socket", () => {
  test.each([
    "",
    "=",
    "=json&format=json",
    "=JSON",
    "=xml",
    "=__proto__",
    "=json&Format=json",
    "=sse",
  ])("?format%s is accepted or refused with 422", async (text) => {
    const url = await relay.register();
    const upgraded = await RawSocket.open(relay.port);
    upgraded.write(handshake(`/ws/${idOf(url)}?format${text}`));
    const head = await upgraded.until("\r\n\r\n");
    upgraded.drop();
    const answer = await relay.request("GET", `/ws/${idOf(url)}?format${text}`);
    if (text === "" || text === "=") {
      expect(head).toStartWith("HTTP/1.1 101 ");
    } else {
      expect(head).toStartWith("HTTP/1.1 422 ");
      expect([answer.status, answer.json.error.code]).toEqual([422, "invalid_query"]);
    }
  });
});
