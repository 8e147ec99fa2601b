// What every deployment must do: the same calls, each on the next node and there on whichever worker accepts it.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeReplies, encodeCommands, encodeEmulation } from "../support/centrifuge/protobuf";
import { PUSHER_ENV } from "../support/pusher/app";
import { PusherClient } from "../support/pusher/socket-client";
import { Caller, DEPLOYMENTS, type Deployment } from "../support/relay/deployments";
import { until } from "../support/wait";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "baton-"));
  writeFileSync(
    join(folder, "topics.json"),
    '{"room:": {"presence": true}, "hall:": {"presence": true, "join_leave": true}}',
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

for (const [name, deploy] of Object.entries(DEPLOYMENTS)) {
  describe(`with ${name}`, () => {
    let deployment: Deployment;
    let relay: Caller;
    /** Returns a new topic for each test. */
    let topic: string;
    let topics = 0;

    beforeAll(async () => {
      const BATON_TOPICS_FILE = join(folder, "topics.json");
      deployment = await deploy({ BATON_TOPICS_FILE, ...PUSHER_ENV });
    }, 120_000);
    afterAll(() => deployment[Symbol.asyncDispose]());
    beforeEach(() => {
      relay = new Caller(deployment);
      topic = `topic${++topics}`;
    });
    afterEach(() => relay[Symbol.asyncDispose]());

    const publish = async (message: unknown, more = {}) => {
      const answer = await relay.post("/publish", { topic, message, ...more });
      expect(answer.status, answer.text).toBe(200);
      return answer.json;
    };

    test("a publication on any node reaches every connection on all nodes, in one order", async () => {
      const clients = await Promise.all(
        Array.from({ length: 12 }, (_, user) => relay.connect(user, [topic])),
      );
      await Promise.all(Array.from({ length: 100 }, (_, i) => publish(String(i))));
      const [first, ...others] = await Promise.all(clients.map((client) => client.take(100)));
      expect(new Set(first).size).toBe(100);
      for (const other of others) expect(other).toEqual(first as string[]);
    });

    test("the name of an event reaches the clients of the JSON protocol on all nodes, and stays in the history", async () => {
      const events = [undefined, "order-shipped", "App\\Events\\Ünïcode 😀"];
      const clients = await Promise.all(
        [1, 2, 3].map(async (user) => {
          const client = await relay.open(`/ws/${await relay.register(user)}?format=json`);
          client.send({ topics: [topic] });
          await client.next();
          return client;
        }),
      );
      for (const event of events) await publish("m", { event });
      for (const client of clients) {
        const frames = (await client.take(3)).map((frame) => JSON.parse(frame));
        expect(frames.map(({ event }) => event)).toEqual(events);
      }
      const { json } = await relay.call("GET", `/topics/${topic}/history`);
      expect(json.publications.map(({ event }: { event?: string }) => event)).toEqual(events);
    });

    test("messages of one publisher arrive in the order in which it sent them", async () => {
      const clients = await Promise.all([1, 2, 3].map((user) => relay.connect(user, [topic])));
      const sent = Array.from({ length: 50 }, (_, i) => String(i));
      for (const message of sent) await publish(message);
      for (const client of clients) expect(await client.take(50)).toEqual(sent);
    });

    test("the lines of one request are published and answered in their order, a bad one with its error", async () => {
      const clients = await Promise.all([1, 2, 3].map((user) => relay.connect(user, [topic])));
      const sent = Array.from({ length: 50 }, (_, i) => String(i));
      const lines = sent.map((message) => JSON.stringify({ topic, message }));
      const answer = await fetch(`${relay.url}/publish`, {
        method: "POST",
        headers: { connection: "close", "content-type": "application/x-ndjson" },
        body: [...lines, "nope"].join("\n"),
      });
      const answers = (await answer.text())
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line));
      expect(answers.pop()).toMatchObject({ error: { code: "malformed_json" }, line: 51 });
      expect(answers.map(({ offset }) => offset)).toEqual(sent.map((_, i) => i + 1));
      for (const client of clients) expect(await client.take(50)).toEqual(sent);
    });

    test("the answers to publishes have the offsets 1, 2, 3…, whichever node gives them", async () => {
      const offsets: number[] = [];
      for (let i = 0; i < 10; i++) offsets.push((await publish("m")).offset);
      expect(offsets).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    });

    test("a publication for a user reaches all connections of that user on all nodes, and no others", async () => {
      const mine = await Promise.all([1, 1, 1, 1].map(() => relay.connect("me", [topic])));
      const others = await Promise.all([1, 2, 3].map((user) => relay.connect(user, [topic])));
      await publish("mine", { user_id: "me" });
      await publish("all");
      for (const client of mine) expect(await client.take(2)).toEqual(["mine", "all"]);
      for (const client of others) expect(await client.take(1)).toEqual(["all"]);
    });

    test("publications on any node follow the topics that a connection chooses", async () => {
      const { client } = await relay.follow(await relay.register(1), ["other"]);
      // Only its reply says that a connection has other topics: a publication by way of another worker may be faster than a pong is.
      client.send({ topics: [topic] });
      await client.next();
      await relay.post("/publish", { topic: "other", message: "no" });
      await publish("yes");
      expect(JSON.parse(await client.next()).data).toBe("yes");
    });

    test("deleting a registration on any node closes its socket, once", async () => {
      for (let i = 0; i < 4; i++) {
        const id = await relay.register(i, [topic]);
        const client = await relay.open(`/ws/${id}`);
        expect((await relay.call("DELETE", `/register/${id}`)).status).toBe(200);
        expect(await client.closed).toMatchObject({ code: 4503 });
        expect((await relay.call("DELETE", `/register/${id}`)).status).toBe(404);
        expect(relay.open(`/ws/${id}`)).rejects.toThrow();
      }
    });

    test("a registration without a connection can be deleted on any node", async () => {
      const id = await relay.register(1);
      expect((await relay.call("DELETE", `/register/${id}`)).status).toBe(200);
      expect(relay.open(`/ws/${id}`)).rejects.toThrow();
    });

    test("an id that connects again replaces its older connection, on whichever node that is", async () => {
      const id = await relay.register(1, [topic]);
      let older = await relay.open(`/ws/${id}`);
      for (let i = 0; i < 8; i++) {
        const newer = await relay.open(`/ws/${id}`);
        expect(await older.closed).toMatchObject({ code: 4001 });
        older = newer;
      }
      await older.settled();
      await publish("m");
      expect(await older.next()).toBe("m");
    });

    test("an id that connects many times at once keeps exactly one connection", async () => {
      const id = await relay.register(1, [topic]);
      const clients = await Promise.all(Array.from({ length: 12 }, () => relay.open(`/ws/${id}`)));
      let open = clients.length;
      for (const { closed } of clients) closed.then(() => open--);
      await until("all connections but one to be replaced", () => open === 1);
      await publish("m");
      const got = await Promise.any(clients.map((client) => client.next()));
      expect(got).toBe("m");
    });

    test("a client that reconnects to another node receives what it missed, once and in order", async () => {
      const id = await relay.register(1, []);
      let { client, reply } = await relay.follow(id, [topic]);
      let position = reply[topic];
      for (let round = 0; round < 6; round++) {
        client.drop();
        const missed = Array.from({ length: 5 }, (_, i) => `${round}.${i}`);
        for (const message of missed) await publish(message);
        ({ client, reply } = await relay.follow(id, [topic], { [topic]: position }));
        expect(reply[topic].recovered).toBe(true);
        await publish("live");
        const frames = (await client.take(6)).map((frame) => JSON.parse(frame));
        expect(frames.map(({ data }) => data)).toEqual([...missed, "live"]);
        const last = frames.at(-1);
        position = { offset: last.offset, epoch: last.epoch };
      }
    });

    test("many clients that missed many large messages receive all of them, once and in order", async () => {
      const missed = Array.from({ length: 30 }, (_, i) => String(i).padEnd(60_000));
      const { epoch } = await publish("first");
      for (const message of missed) await publish(message);
      const since = { [topic]: { offset: 1, epoch } };
      const recover = async (_: unknown, user: number) => {
        const { client } = await relay.follow(await relay.register(user, []), [topic], since);
        const frames = await client.take(missed.length);
        expect(frames.map((frame) => JSON.parse(frame).data)).toEqual(missed);
      };
      await Promise.all(Array.from({ length: 12 }, recover));
    });

    test("history is the same on every node", async () => {
      for (let i = 0; i < 5; i++) await publish(String(i));
      for (let i = 0; i < 8; i++) {
        const { json } = await relay.call("GET", `/topics/${topic}/history`);
        expect(json.publications.map(({ data }: { data: string }) => data).join("")).toBe("01234");
      }
    });

    test("an idempotency key publishes once over all nodes, also when they are used at once", async () => {
      const client = await relay.connect(1, [topic]);
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => publish("once", { idempotency_key: "k" })),
      );
      expect(new Set(answers.map(({ offset }) => offset))).toEqual(new Set([1]));
      await publish("after");
      expect(await client.take(2)).toEqual(["once", "after"]);
    });

    test("info lists every node with what it has", async () => {
      await Promise.all(Array.from({ length: 8 }, (_, i) => relay.connect(`i${i}`, [topic, "x"])));
      // Connections of earlier tests may still be closing.
      await until("8 clients with 16 subscriptions over all nodes", async () => {
        const { nodes } = (await relay.post("/api/info", {})).json.result;
        const uids = new Set(nodes.map(({ uid }: { uid: string }) => uid));
        expect(uids.size).toBe(deployment.nodes);
        const sum = (of: string) =>
          nodes.reduce((total: number, node: Record<string, number>) => total + (node[of] ?? 0), 0);
        return sum("num_clients") === 8 && sum("num_subs") === 16;
      });
    });

    test("presence counts the clients in a topic on all nodes, whatever their protocol", async () => {
      const room = `room:${topic}`;
      for (let i = 0; i < 3; i++) await relay.session(room);
      for (let i = 0; i < 3; i++) await relay.connect("u", [room]);
      const counts = async () =>
        (await relay.post("/api/presence_stats", { channel: room })).json.result;
      for (let i = 0; i < 6; i++) expect(await counts()).toEqual({ num_clients: 6, num_users: 2 });
      const { json } = await relay.post("/api/presence", { channel: room });
      expect(Object.keys(json.result.presence)).toHaveLength(6);
    });

    test("sessions receive the joins and leaves of all nodes", async () => {
      const hall = `hall:${topic}`;
      const watcher = await relay.session(hall);
      expect(JSON.parse(await watcher.next()).push.join).toBeDefined();
      for (let i = 0; i < 4; i++) {
        const other = await relay.session(hall);
        const joined = JSON.parse(await watcher.next()).push.join.info.client;
        other.drop();
        expect(JSON.parse(await watcher.next()).push.leave.info.client).toBe(joined);
      }
    });

    test("the backend disconnects a user on all nodes", async () => {
      const user = `${topic}'s`;
      const clients = await Promise.all(
        Array.from({ length: 5 }, () => relay.connect(user, [topic])),
      );
      await relay.post("/api/disconnect", { user, disconnect: { code: 4123, reason: "bye" } });
      for (const { closed } of clients) {
        expect(await closed).toEqual({ code: 4123, reason: "bye" });
      }
    });

    test("Pusher clients on all nodes get what is published on any, and not what excepts their socket_id", async () => {
      const clients = await Promise.all(
        Array.from({ length: 8 }, () => PusherClient.open(relay.url)),
      );
      for (const client of clients) await client.subscribed(topic);
      const sent = Array.from({ length: 24 }, (_, i) => String(i));
      for (const [i, message] of sent.entries()) {
        await publish(message, { except: clients[i % 8]?.socketId });
      }
      for (const [i, client] of clients.entries()) {
        const got = (await client.take(21)).map(({ data }) => data);
        expect(got).toEqual(sent.filter((_, at) => at % 8 !== i));
      }
      await Promise.all(clients.map((client) => client.close()));
    });

    test("an event of a Pusher client reaches the others of its channel on all nodes", async () => {
      const clients = await Promise.all(
        Array.from({ length: 8 }, () => PusherClient.open(relay.url)),
      );
      for (const client of clients) await client.subscribed(`private-${topic}`);
      for (const client of clients) {
        client.send("client-hello", client.socketId, `private-${topic}`);
        for (const other of clients) {
          if (other !== client) expect((await other.next()).data).toBe(client.socketId);
        }
      }
      for (const client of clients) expect(await client.rest()).toEqual([]);
      await Promise.all(clients.map((client) => client.close()));
    });

    test("a Pusher client on any node begins with the last event of a cache channel, and may be disconnected as a user", async () => {
      const channel = `cache-${topic}`;
      await publish("first", { topic: channel });
      await publish("last", { topic: channel });
      const clients = await Promise.all(
        Array.from({ length: 4 }, () => PusherClient.open(relay.url)),
      );
      for (const client of clients) {
        await client.subscribed(channel);
        expect((await client.next()).data).toBe("last");
        client.signIn({ id: topic });
        expect((await client.next()).event).toBe("pusher:signin_success");
      }
      const { json } = await relay.call("DELETE", `/users/${topic}/connections`);
      expect(json).toEqual({ disconnected: 4 });
      for (const client of clients) expect((await client.closed).code).toBe(4009);
    });

    test("members of a Pusher channel are users, told once over all nodes when they come and when they go", async () => {
      const channel = `presence-${topic}`;
      const watcher = await PusherClient.open(relay.url);
      await watcher.subscribed(channel, { user_id: "w" });
      const tabs = await Promise.all(Array.from({ length: 6 }, () => PusherClient.open(relay.url)));
      const lists = await Promise.all(tabs.map((tab) => tab.subscribed(channel, { user_id: "u" })));
      for (const { presence } of lists) expect(presence.ids.toSorted()).toEqual(["u", "w"]);
      for (const tab of tabs) await tab.close();
      const told = (await watcher.take(2)).map(({ event }) => event);
      expect(told.map((event) => event.split("_").at(-1))).toEqual(["added", "removed"]);
      expect(await watcher.rest()).toEqual([]);
      await watcher.close();
    });

    test("commands of a stream reach their session, whichever node accepts them", async () => {
      const first = '{"id":1,"connect":{}}';
      const response = await fetch(`${relay.url}/connection/http_stream`, {
        method: "POST",
        body: first,
        headers: { connection: "close" },
      });
      const lines = linesOf(response.body as ReadableStream<Uint8Array>);
      const { session, node } = JSON.parse(await lines.next()).connect;
      for (let i = 2; i < 10; i++) {
        const data = `{"id":${i},"publish":{"channel":"${topic}","data":${i}}}`;
        expect((await relay.post("/emulation", { session, node, data })).status).toBe(204);
        expect(JSON.parse(await lines.next())).toEqual({ id: i, publish: {} });
      }
      await lines.cancel();
    });

    test("commands of a stream in protobuf reach their session too", async () => {
      const headers = { "content-type": "application/octet-stream", connection: "close" };
      const post = (path: string, body: Uint8Array) =>
        fetch(`${relay.url}${path}`, { method: "POST", body, headers });
      const first = encodeCommands([{ id: 1, connect: {} }]);
      const stream = await post("/connection/http_stream", first);
      expect(stream.headers.get("content-type")).toBe("application/octet-stream");
      const replies = repliesOf(stream.body as ReadableStream<Uint8Array>);
      const { session, node } = (await replies.next()).connect;
      for (let i = 2; i < 10; i++) {
        const data = encodeCommands([{ id: i, publish: { channel: topic, data: i } }]);
        const emulation = encodeEmulation({ session, node, data });
        expect((await post("/emulation", emulation)).status).toBe(204);
        expect(await replies.next()).toEqual({ id: i, publish: {} });
      }
      await replies.cancel();
    });
  });
}

function linesOf(body: ReadableStream<Uint8Array>) {
  const reader = body.pipeThrough(new TextDecoderStream() as never).getReader();
  let rest = "";
  return {
    async next(): Promise<string> {
      for (;;) {
        const end = rest.indexOf("\n");
        if (end >= 0) {
          const line = rest.slice(0, end);
          rest = rest.slice(end + 1);
          return line;
        }
        const { done, value } = await reader.read();
        if (done) throw new Error("the stream has ended");
        rest += value;
      }
    },
    cancel: () => reader.cancel(),
  };
}

function repliesOf(body: ReadableStream<Uint8Array>) {
  const reader = body.getReader();
  const replies: Awaited<ReturnType<typeof decodeReplies>> = [];
  return {
    /** Replies come one to a chunk, or several. */
    async next() {
      while (replies.length === 0) {
        const { done, value } = await reader.read();
        if (done) throw new Error("the stream has ended");
        replies.push(...decodeReplies(value));
      }
      return replies.shift();
    },
    cancel: () => reader.cancel(),
  };
}
