// GET /publications/:topic/:offset: what became of a publication.
import { expect, test } from "bun:test";
import { JsonClient } from "../../support/clients/json-client";
import { PUSH_ENV, registerDevice } from "../../support/push/push-relay";
import { PushService } from "../../support/push/push-service";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

test("it names the connections that have a publication, those that had it when they ended, and who recovered it", async () => {
  await using relay = await startRelay();
  const there = await JsonClient.connect(relay, "ann");
  await there.choose(["news"]);
  await relay.connect("plain", ["news"]);
  const gone = await JsonClient.connect(relay, "bob");
  await gone.choose(["news"]);
  const { json } = await relay.post("/publish", { topic: "news", message: "hi" });
  const { epoch, offset } = json;
  const late = await JsonClient.connect(relay, "late");
  await late.choose(["news"]);
  const back = await JsonClient.connect(relay, "cleo");
  await back.choose(["news"], { news: { epoch, offset: offset - 1 } });
  await gone.close();
  const tooLate = await JsonClient.connect(relay, "too late");
  await tooLate.choose(["news"]);
  await tooLate.close();
  await until("the closes", () => relay.counts.connections === 4);
  const answer = await relay.request("GET", `/publications/news/${offset}`);
  expect(answer.status).toBe(200);
  const { connections, ended, recovered, ...rest } = answer.json;
  expect(rest).toMatchObject({ position: `${epoch}:${offset}`, state: "kept" });
  expect(connections).toMatchObject({ have_it: 2, may_have_it: 1 });
  const first = connections.first.map(({ user_id, has }: Record<string, string>) => [user_id, has]);
  expect(first.toSorted()).toEqual([
    ["ann", "it"],
    ["cleo", "it"],
    ["plain", "perhaps"],
  ]);
  expect(ended).toMatchObject([{ user_id: "bob", why: "closed", has: "it" }]);
  expect(recovered).toMatchObject([{ user_id: "cleo", has: "it" }]);
  expect(answer.text).not.toContain("late");
});

test("of many connections it names those first that have a publication for certain", async () => {
  await using relay = await startRelay();
  for (let i = 0; i < 25; i++) await relay.connect(i, ["news"]);
  const sure = await JsonClient.connect(relay, "sure");
  await sure.choose(["news"]);
  const { offset } = (await relay.post("/publish", { topic: "news", message: "hi" })).json;
  const { connections } = (await relay.request("GET", `/publications/news/${offset}`)).json;
  expect(connections).toMatchObject({ have_it: 1, may_have_it: 25 });
  expect(connections.first).toHaveLength(20);
  expect(connections.first[0]).toMatchObject({ user_id: "sure", has: "it" });
});

test("it names who recovered a publication that nobody had live", async () => {
  await using relay = await startRelay();
  const { epoch, offset } = (await relay.post("/publish", { topic: "news", message: "hi" })).json;
  const back = await JsonClient.connect(relay, "cleo");
  await back.choose(["news"], { news: { epoch, offset: offset - 1 } });
  const asked = async () => (await relay.request("GET", `/publications/news/${offset}`)).json;
  expect(await asked()).toMatchObject({ connections: { have_it: 1 } });
  await back.close();
  await until("the close", () => relay.counts.connections === 0);
  expect(await asked()).toMatchObject({
    connections: { have_it: 0 },
    ended: [{ user_id: "cleo", has: "it" }],
    recovered: [{ user_id: "cleo", has: "it" }],
  });
});

test("it leaves out the connection that a publication was not for, and is not sure of one that has expired", async () => {
  await using relay = await startRelay({ BATON_HISTORY_SIZE: "1" });
  const sender = await JsonClient.connect(relay, "ann");
  await sender.choose(["news"]);
  const other = await JsonClient.connect(relay, "bob");
  await other.choose(["news"]);
  const [row] = (await relay.request("GET", "/users/ann/connections")).json.connections;
  const body = { topic: "news", message: "hi", except: row.id };
  const { offset } = (await relay.post("/publish", body)).json;
  const asked = async () => (await relay.request("GET", `/publications/news/${offset}`)).json;
  const { connections } = await asked();
  expect(connections).toMatchObject({ have_it: 1, first: [{ user_id: "bob" }] });
  await relay.post("/publish", { topic: "news", message: "for ann", user_id: "ann" });
  const later = await asked();
  expect(later).toMatchObject({ state: "expired", connections: { have_it: 0, may_have_it: 2 } });
});

test("of a publication with a push it says that it waits, and then what became of it on each device", async () => {
  await using service = new PushService();
  await using relay = await startRelay({ ...PUSH_ENV, BATON_PUSH_AFTER_MS: "500" });
  await registerDevice(relay, "ann", service.subscription("phone"));
  await registerDevice(relay, "ann", service.subscription("old"));
  service.answer = (device) => ({ status: device === "old" ? 410 : 201 });
  const push = { title: "hi" };
  const body = { topic: "chat", message: "hi", user_id: "ann", push };
  const { json } = await relay.post("/publish", body);
  const path = `/publications/chat/${json.offset}?epoch=${json.epoch}`;
  const first = await relay.request("GET", path);
  expect(first.json).toMatchObject({ user_id: "ann", connections: { have_it: 0 } });
  expect(["waiting", "pushed"]).toContain(first.json.push.state);
  const states = async () => {
    const { push: now } = (await relay.request("GET", path)).json;
    return now.devices.map(({ state, status }: Record<string, unknown>) => [state, status]);
  };
  await until("both answers", async () => (await states()).length === 2);
  expect((await states()).toSorted()).toEqual([
    ["accepted", 201],
    ["gone", 410],
  ]);
});

test("of a publication with a push that a connection has taken it names the connection", async () => {
  await using relay = await startRelay(PUSH_ENV);
  const client = await relay.connect("ann", ["chat"]);
  const body = { topic: "chat", message: "hi", user_id: "ann", push: { title: "hi" } };
  const { json } = await relay.post("/publish", body);
  await client.next();
  const path = `/publications/chat/${json.offset}`;
  const stateOf = async () => (await relay.request("GET", path)).json.push.state;
  await until("the decision", async () => (await stateOf()) === "taken");
  const { connections, push } = (await relay.request("GET", path)).json;
  expect(connections).toMatchObject({ have_it: 1, first: [{ user_id: "ann", has: "it" }] });
  expect(push.devices).toEqual([]);
});

test.each([
  ["/publications/news/2", 404, "unknown_publication"],
  ["/publications/other/1", 404, "unknown_publication"],
  ["/publications/news/1?epoch=abcdefgh", 409, "unrecoverable_position"],
  ["/publications/news/0", 422, "invalid_query"],
  ["/publications/news/x", 422, "invalid_query"],
  ["/publications/news/1?since=1", 422, "invalid_query"],
  ["/publications/%00/1", 422, "invalid_topic"],
])("%s is answered with %d %s", async (path, status, code) => {
  await using relay = await startRelay();
  await relay.publish("news", "hi");
  const answer = await relay.request("GET", path);
  expect([answer.status, answer.json.error.code]).toEqual([status, code]);
});

test("of a topic without history it says that nothing has an offset there", async () => {
  await using relay = await startRelay({ BATON_HISTORY_SIZE: "0" });
  const { json } = await relay.request("GET", "/publications/news/1");
  expect(json.error.code).toBe("no_history");
});

test("it needs a key with the scope read for the topic", async () => {
  await using relay = await startRelay({ BATON_API_KEYS: "aaaaaaaaaaaaaaaa:read@news" });
  const headers = { "x-api-key": "aaaaaaaaaaaaaaaa" };
  const asked = (topic: string) => relay.request("GET", `/publications/${topic}/1`, { headers });
  expect((await asked("other")).status).toBe(403);
  expect((await asked("news")).status).toBe(404);
  expect((await relay.request("GET", "/publications/news/1")).status).toBe(401);
});
