// What operators ask, in every deployment: whichever node and worker is asked, the answer is over all of them.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { RawSocket } from "../support/clients/raw-socket";
import { PATIENT, ProxyBackend } from "../support/hooks/proxy-backend";
import { Folder } from "../support/machine/folder";
import { PUSH_ENV, registerDevice } from "../support/push/push-relay";
import { PushService } from "../support/push/push-service";
import { APP, PUSHER_ENV } from "../support/pusher/app";
import { call } from "../support/pusher/backend";
import { PusherClient } from "../support/pusher/socket-client";
import { Caller, DEPLOYMENTS, type Deployment } from "../support/relay/deployments";
import { until } from "../support/wait";

interface Finding {
  readonly code: string;
}

const LARGE = "x".repeat(60_000);

const RULES = { "": { history_size: 4 } };

/** Whom the backend knows a client as that has no registration. */
const ASKED = "asked";

for (const [name, deploy] of Object.entries(DEPLOYMENTS)) {
  describe(`with ${name}`, () => {
    const folder = new Folder();
    const backend = new ProxyBackend();
    const pushService = new PushService();
    let deployment: Deployment;
    let relay: Caller;
    /** A new one for each test. */
    let topic: string;
    let user: string;
    let tests = 0;

    beforeAll(async () => {
      const file = join(folder.path, "topics.json");
      const asked = {
        proxy_subscribe: `${backend.url}/subscribe`,
        proxy_publish: `${backend.url}/publish`,
      };
      await Bun.write(file, JSON.stringify({ ...RULES, "asked:": asked }));
      backend.answer("/connect", ({ body }) => ({ result: { user: body.user ?? ASKED } }));
      deployment = await deploy({
        BATON_TOPICS_FILE: file,
        BATON_API_KEYS: "k",
        ...PATIENT,
        BATON_PROXY_CONNECT: `${backend.url}/connect`,
        BATON_PROXY_RPC: `${backend.url}/rpc`,
        ...PUSHER_ENV,
        ...PUSH_ENV,
        BATON_BACKPRESSURE_BYTES: "65536",
      });
    }, 120_000);
    afterAll(async () => {
      await deployment[Symbol.asyncDispose]();
      await backend[Symbol.asyncDispose]();
      await pushService[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    });
    beforeEach(() => {
      relay = new Caller(deployment, "k");
      topic = `topic ${++tests}`;
      user = `u${tests}`;
    });
    afterEach(() => relay[Symbol.asyncDispose]());

    test("a push goes once to a device of its user, unless a client on any node takes its publication", async () => {
      await registerDevice(relay, user, pushService.subscription(user));
      const publish = async (title: string) => {
        const body = { topic, message: title, user_id: user, push: { title } };
        return (await relay.post("/publish", body)).json.offset as number;
      };
      const stateOf = async (offset: number) =>
        (await relay.call("GET", `/publications/${encodeURIComponent(topic)}/${offset}`)).json.push;
      const client = await relay.connect(user, [topic]);
      const taken = [await publish("a"), await publish("b"), await publish("c")];
      expect(await client.take(3)).toEqual(["a", "b", "c"]);
      for (const offset of taken) {
        await until("a client has it", async () => (await stateOf(offset)).state === "taken");
      }
      await client.close();
      await until("its end", async () => {
        const { json } = await relay.call("GET", `/users/${user}/connections`);
        return json.connections.length === 0;
      });
      const sent = ["d", "e", "f", "g"];
      for (const title of sent) await publish(title);
      const pushes = await pushService.taken(user, sent.length);
      expect(pushes.map(({ data }) => data.title).toSorted()).toEqual(sent);
      expect(pushService.invalid).toEqual([]);
    });

    test("a Pusher backend is told the same numbers everywhere, and its events reach everybody in order", async () => {
      const channel = `channel-${user}`;
      const clients = [];
      for (let i = 0; i < 3; i++) clients.push(await relay.connect(user, [channel]));
      const path = `/apps/${APP.id}/channels`;
      const query = { info: "subscription_count" };
      for (let i = 0; i < 5; i++) {
        const one = await call(relay.url, { method: "GET", path: `${path}/${channel}`, query });
        expect(one.json).toEqual({ occupied: true, subscription_count: 3 });
        const all = { ...query, filter_by_prefix: channel };
        const list = await call(relay.url, { method: "GET", path, query: all });
        expect(list.json).toEqual({ channels: { [channel]: { subscription_count: 3 } } });
      }
      const batch = Array.from({ length: 50 }, (_, i) => ({ channel, name: "e", data: `${i}` }));
      const body = JSON.stringify({ batch });
      const events = { path: `/apps/${APP.id}/batch_events`, body };
      expect(await call(relay.url, events)).toEqual({ status: 200, json: {} });
      const sent = batch.map(({ data }) => data);
      for (const client of clients) expect(await client.take(50)).toEqual(sent);
    });

    test("a Pusher backend on any node hears who is in a channel, what it shows last, and what is refused", async () => {
      const channel = `presence-cache-${topic}`;
      const client = await PusherClient.open(relay.url);
      await client.subscribed(channel, { user_id: "u" });
      const publishEvent = (data: string) =>
        call(relay.url, {
          body: JSON.stringify({ name: "e", data, channel, idempotency_key: "k" }),
        });
      const read = async (path: string, info = "") =>
        (await call(relay.url, { method: "GET", path: `/apps/${APP.id}${path}`, query: { info } }))
          .json;
      expect(await publishEvent("m")).toEqual({ status: 200, json: {} });
      expect(await read(`/channels/${channel}`, "cache,user_count,subscription_count")).toEqual({
        occupied: true,
        user_count: 1,
        subscription_count: 1,
        cache: { data: "m" },
      });
      expect(await read(`/channels/${channel}/users`)).toEqual({ users: [{ id: "u" }] });
      expect((await publishEvent("other")).json.error.code).toBe("idempotency_conflict");
      client.drop();
    });

    test("an event leaves out the Pusher client that it names, wherever that client is", async () => {
      const channel = `channel-${user}`;
      const connect = async () => {
        const client = await relay.open(`/app/${APP.key}?protocol=7`);
        const { data } = JSON.parse(await client.next());
        client.send({ event: "pusher:subscribe", data: { channel } });
        expect(JSON.parse(await client.next()).event).toEndWith("subscription_succeeded");
        return { client, id: JSON.parse(data).socket_id as string };
      };
      const clients = [await connect(), await connect(), await connect()];
      const trigger = async (name: string, more: object = {}) => {
        const body = JSON.stringify({ name, data: "{}", channels: [channel], ...more });
        expect((await call(relay.url, { body })).status).toBe(200);
      };
      for (const { id } of clients) await trigger(`not for ${id}`, { socket_id: id });
      await trigger("for all");
      for (const { client, id } of clients) {
        const others = clients.filter((one) => one.id !== id).map((one) => `not for ${one.id}`);
        const events = (await client.take(3)).map((frame) => JSON.parse(frame).event);
        expect(events).toEqual([...others, "for all"]);
      }
    });

    test("the backend is asked wherever a client is, and what it has refused is known everywhere", async () => {
      const channel = `asked:${topic}`;
      backend.answer("/rpc", ({ body }) => ({ result: { data: body.data } }));
      backend.answer("/publish", () => ({ result: { data: "as the backend says" } }));
      for (let i = 0; i < 5; i++) {
        const client = await relay.session(channel);
        client.send({ id: 3, rpc: { data: i } });
        expect(await client.next()).toBe(`{"id":3,"rpc":{"data":${i}}}`);
        if (i < 4) continue;
        client.send({ id: 4, publish: { channel, data: "as the client says" } });
        expect((await client.take(2)).join()).toContain('"data":"as the backend says"');
      }
      backend.answer("/subscribe", () => ({ error: { code: 403, message: "not today" } }));
      await relay.session(`${channel}, later`);
      topic = `${channel}, later`;
      user = ASKED;
      for (let i = 0; i < 5; i++) {
        const { verdict, findings } = await explain();
        expect([verdict, findings[0].message]).toEqual([
          "refused_by_backend",
          expect.stringContaining("not today"),
        ]);
      }
    });

    const publish = async (more = {}) => {
      const answer = await relay.post("/publish", { topic, message: "m", ...more });
      expect(answer.status, answer.text).toBe(200);
      return `${answer.json.epoch}:${answer.json.offset}`;
    };
    const explain = async (more: Record<string, string> = {}) => {
      const query = new URLSearchParams({ topic, user, ...more });
      const { status, text, json } = await relay.call("GET", `/explain?${query}`);
      expect(status, text).toBe(200);
      return json;
    };
    /** Asks several times, so that each node and most of the workers are asked. */
    const expectEverywhere = async (position: string, verdict: string) => {
      for (let i = 0; i < 5; i++) {
        const answer = await explain({ position });
        expect(answer.verdict, JSON.stringify(answer)).toBe(verdict);
        expect(answer.nodes.silent).toBe(0);
      }
      return explain({ position });
    };
    const gone = () =>
      until("it to be gone", async () => (await explain()).connections.length === 0);
    const json = async () => relay.follow(await relay.register(user, []), [topic]);

    test("who has a publication is known everywhere", async () => {
      const clients = [await json(), await json(), await json()];
      const [, offset] = (await publish()).split(":");
      // Another node may have it a moment later, and a question may come to it faster.
      for (const { client } of clients) await client.next();
      const path = `/publications/${encodeURIComponent(topic)}/${offset}`;
      for (let i = 0; i < 5; i++) {
        const { status, text, json: found } = await relay.call("GET", path);
        expect(status, text).toBe(200);
        expect(found, text).toMatchObject({ connections: { have_it: 3 }, nodes: { silent: 0 } });
      }
    });

    describe("GET /explain says", () => {
      test("offline, and how the last connection ended", async () => {
        const { client } = await json();
        await client.close();
        await gone();
        const { findings, ends } = await expectEverywhere(await publish(), "offline");
        expect(findings[0].message).toContain("its client closed it (1000)");
        expect(ends).toMatchObject([{ protocol: "json", why: "closed", code: 1000 }]);
        user = "nobody";
        expect((await explain()).findings[0].message).toContain("No end of a connection");
      });

      test("not subscribed", async () => {
        await relay.connect(user, ["other"]);
        const { connections } = await expectEverywhere(await publish(), "not_subscribed");
        expect(connections).toMatchObject([{ protocol: "plain", state: "not_subscribed" }]);
      });

      test("not allowed, by the mark in the topic's name", async () => {
        topic = `${topic}#somebody`;
        await json();
        const { findings } = await expectEverywhere(await publish(), "not_allowed");
        expect(findings[0].message).toContain("this is none of them");
        expect(findings[0].action).toContain("token");
      });

      test("for another user", async () => {
        await json();
        const position = await publish({ user_id: "somebody" });
        const { findings } = await expectEverywhere(position, "for_another_user");
        expect(findings[0].message).toContain('"somebody"');
      });

      test("expired, where the client came back too late", async () => {
        const id = await relay.register(user, []);
        const { client, reply } = await relay.follow(id, [topic]);
        client.drop();
        await gone();
        const missed = await publish();
        for (let i = 0; i < 8; i++) await publish();
        const { offset, epoch } = reply[topic];
        const since = { [topic]: { offset, epoch: epoch ?? missed.split(":")[0] } };
        const again = await relay.follow(id, [topic], since);
        expect(again.reply[topic].recovered).toBe(false);
        const { findings, publication } = await expectEverywhere(missed, "expired");
        expect(findings[0].message).toContain("was told that it is lost");
        expect(publication.state).toBe("expired");
      });

      test("too slow and cut off, and then recovered", async () => {
        const id = await relay.register(user, [topic]);
        const raw = await RawSocket.upgrade(`${relay.url}/ws/${id}?format=json`);
        raw.frame(1, JSON.stringify({ topics: [topic] }));
        await raw.nextFrame();
        raw.pause();
        let last = "";
        await until("it to be cut off", async () => {
          for (let i = 0; i < 20; i++) last = await publish({ message: LARGE, user_id: user });
          return (await explain()).ends.length > 0;
        });
        raw.drop();
        expect((await explain()).ends).toMatchObject([{ why: "slow_consumer", had_topic: true }]);
        await expectEverywhere(last, "slow_consumer");
        const [epoch = "", offset] = last.split(":");
        const since = { [topic]: { epoch, offset: Number(offset) - 1 } };
        const { client } = await relay.follow(id, [topic], since);
        await client.next();
        const { findings } = await expectEverywhere(last, "recovered");
        expect(findings.map(({ code }: Finding) => code)).toEqual(["recovered", "slow_consumer"]);
      }, 120_000);

      test("sent, when it was, and that more cannot be known", async () => {
        const { client } = await json();
        const position = await publish();
        await client.next();
        const { findings, connections } = await expectEverywhere(position, "sent");
        expect(findings[0].message).toContain("cannot be known");
        expect(connections).toMatchObject([{ state: "subscribed", sent_to: position }]);
      });

      test("never published, where there is no such publication", async () => {
        const [epoch, offset] = (await publish()).split(":");
        await expectEverywhere(`${epoch}:${Number(offset) + 1}`, "never_published");
        await expectEverywhere(`another:${offset}`, "other_epoch");
      });
    });

    test("GET /topics and GET /users list what all nodes have, page by page", async () => {
      const names = Array.from({ length: 12 }, (_, i) => `${topic}/${String(i).padStart(2, "0")}`);
      for (const one of names) {
        await relay.connect(`${user} of ${one}`, [one, `${topic}/all`]);
      }
      const pages = async (path: string, search: string) => {
        const rows: Record<string, unknown>[] = [];
        let after = "";
        for (let page = 0; page < 10; page++) {
          const query = new URLSearchParams({ search, after, limit: "5" });
          const { json } = await relay.call("GET", `/${path}?${query}`);
          rows.push(...json[path]);
          if (json.next === undefined) return rows;
          after = json.next;
        }
        throw new Error("the pages do not end");
      };
      const topics = await pages("topics", `${topic}/`);
      expect(topics.map(({ topic: name, subscribers }) => [name, subscribers])).toEqual([
        ...names.map((name) => [name, 1]),
        [`${topic}/all`, 12],
      ]);
      const users = await pages("users", `${user} of`);
      expect(users.map(({ user: name }) => name)).toEqual(
        names.map((name) => `${user} of ${name}`),
      );
      expect(users[0]).toMatchObject({ connections: 1, protocols: { plain: 1 }, waiting_bytes: 0 });
    });

    test("whoever is registered with $baton gets the figures of all nodes, once a second", async () => {
      const { client } = await relay.follow(await relay.register(user, ["$baton"]), ["$baton"]);
      const figures = async () => JSON.parse(await client.next());
      const first = await figures();
      await publish();
      const sum = ({ data }: { data: { nodes: { publications: number }[] } }) =>
        data.nodes.reduce((total, { publications }) => total + publications, 0);
      let latest = await figures();
      while (sum(latest) === sum(first)) latest = await figures();
      expect(latest.topic).toBe("$baton");
      expect([latest.data.silent, latest.data.nodes.length]).toEqual([0, deployment.nodes]);
      expect(sum(latest) - sum(first)).toBe(1);
      const supervisors = ({ data }: { data: { nodes: { supervisor?: { machine: string } }[] } }) =>
        data.nodes.flatMap(({ supervisor }) => supervisor?.machine ?? []);
      if (!name.includes("workers")) {
        expect(supervisors(latest)).toEqual([]);
        return;
      }
      // Each worker says what its supervisor takes, once it has been told.
      await until("all workers to say it", async () => {
        if (supervisors(latest).length === deployment.nodes) return true;
        latest = await figures();
        return false;
      });
      const machines = new Set(supervisors(latest));
      expect(machines.size).toBe(name.startsWith("two nodes") ? 2 : 1);
    });
  });
}
