// Registrations and their streams. Rows C1 and C2 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EventStream } from "../../../support/clients/event-stream";
import {
  leaveStream,
  refusalOf,
  registerStream,
  withTopics,
} from "../../../support/relay/stream-calls";
import { idOf, startRelay, type TestRelay } from "../../../support/relay/test-relay";
import { topicsFile } from "../../../support/relay/topics-file";
import { until } from "../../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_TOPICS_FILE: topicsFile({ "deep:": { history_size: 5_000 } }) });
});
afterAll(() => relay[Symbol.asyncDispose]());

describe("a registration", () => {
  test("has an address for a stream next to the one for a socket, with the same id", async () => {
    const { json } = await relay.post("/register", { user_id: 1, topics: ["a"] });
    const id = idOf(json.url);
    expect(json).toEqual({
      url: `ws://127.0.0.1:${relay.port}/ws/${id}`,
      sse: `http://127.0.0.1:${relay.port}/sse/${id}`,
    });
    await using behind = await startRelay({ BATON_PUBLIC_URL: "https://relay.example.com/baton" });
    const other = (await behind.post("/register", { user_id: 1 })).json;
    expect(other.sse).toBe(`https://relay.example.com/baton/sse/${idOf(other.url)}`);
  });

  test("that is unknown, malformed, deleted or expired gets 404", async () => {
    await using brief = await startRelay({ BATON_REGISTRATION_TTL_MS: "50" });
    const expired = await registerStream(brief);
    await until("the registration to expire", () => brief.counts.registrations === 0);
    const deleted = await registerStream(relay);
    await relay.unregister(deleted);
    const ids = ["0".repeat(32), "x", "__proto__", "%00"];
    for (const url of [expired, deleted, ...ids.map((id) => `${relay.url}/sse/${id}`)]) {
      const { status, code, headers } = await refusalOf(url);
      expect([url, status, code]).toEqual([url, 404, "unknown_connection"]);
      expect(headers.get("content-type")).toStartWith("application/json");
    }
  });

  test("stays valid for BATON_REGISTRATION_TTL_MS after its stream was lost, and no longer", async () => {
    await using brief = await startRelay({ BATON_REGISTRATION_TTL_MS: "800" });
    const url = await registerStream(brief);
    const stream = await EventStream.open(url);
    // It does not expire while its stream is open.
    const opened = performance.now();
    await until("its TTL to pass", () => performance.now() - opened > 900);
    expect(brief.counts).toEqual({ connections: 1, registrations: 0, topics: 1 });
    await leaveStream(brief, stream, url);
    expect(brief.counts).toEqual({ connections: 0, registrations: 1, topics: 0 });
    const back = await EventStream.open(url);
    expect(brief.counts).toEqual({ connections: 1, registrations: 0, topics: 1 });
    await leaveStream(brief, back, url);
    await until("the registration to expire", () => brief.counts.registrations === 0);
    expect((await refusalOf(url)).status).toBe(404);
  });

  test("ends its stream when it is deleted, and gets 404 from then on", async () => {
    const url = await registerStream(relay);
    const stream = await EventStream.open(url);
    expect((await relay.unregister(url)).text).toBe(`Client removed with id ${idOf(url)}`);
    expect(await stream.closed).toBe("ended");
    expect([relay.isConnected(url), (await refusalOf(url)).status]).toEqual([false, 404]);
    expect((await relay.unregister(url)).status).toBe(404);
  });

  test("gets 404 when it is deleted while its stream is away", async () => {
    const url = await registerStream(relay);
    await leaveStream(relay, await EventStream.open(url), url);
    expect((await relay.unregister(url)).status).toBe(200);
    expect((await refusalOf(url)).status).toBe(404);
  });

  test("leaves nothing behind when it is deleted while its stream recovers", async () => {
    const { epoch } = await relay.publishMany("deep:deleted", 1_000);
    const url = withTopics(await registerStream(relay), "deep:deleted");
    const stream = await EventStream.open(url, { lastEventId: `deep%3Adeleted=${epoch}:0` });
    await relay.unregister(new URL(url).pathname);
    expect(await stream.closed).toBe("ended");
    expect(await relay.publish("deep:deleted", "m")).toBe(0);
  });

  test("with a second stream ends the first one, and tells it not to reconnect", async () => {
    const url = withTopics(await registerStream(relay), "twice");
    const older = await EventStream.open(url);
    await relay.publishMany("twice", 1);
    expect(await older.takeTexts(1)).toEqual(["twice: m1"]);
    const newer = await EventStream.open(url, { lastEventId: older.lastEventId });
    expect(await older.closed).toBe("ended");
    // 24 days: more would not fit into a browser's timer.
    expect(older.retries.at(-1)).toBe(2_147_483_647);
    expect(await relay.publish("twice", "m2")).toBe(1);
    expect(await newer.takeTexts(1)).toEqual(["twice: m2"]);
    expect(older.rest()).toEqual([]);
    await leaveStream(relay, newer, url);
    await (await EventStream.open(url)).close();
  });

  test("with twenty streams at once keeps exactly one", async () => {
    const url = withTopics(await registerStream(relay), "twenty");
    const streams = await Promise.all(Array.from({ length: 20 }, () => EventStream.open(url)));
    let open = streams.length;
    for (const stream of streams) stream.closed.then(() => open--);
    await until("all streams but one to be ended", () => open === 1);
    expect(await relay.publish("twenty", "m")).toBe(1);
  });

  test("replaces a stream by a socket, and a socket by a stream", async () => {
    const url = await registerStream(relay);
    const stream = await EventStream.open(url);
    const socket = await relay.open(url.replace("http:", "ws:").replace("/sse/", "/ws/"));
    expect(await stream.closed).toBe("ended");
    expect(stream.retries.at(-1)).toBe(2_147_483_647);
    expect(await relay.publish("tech", "m1")).toBe(1);
    expect(await socket.next()).toBe("m1");
    const again = await EventStream.open(url);
    expect((await socket.closed).code).toBe(4001);
    expect(await relay.publish("tech", "m2")).toBe(1);
    expect(await again.takeTexts(1)).toEqual(["tech: m2"]);
    await again.close();
  });
});
