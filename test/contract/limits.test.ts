// The limits that hold over all nodes of a relay, or over all workers of a machine: in every deployment, whichever node is called.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Caller, DEPLOYMENTS, type Deployment } from "../support/relay/deployments";
import { until } from "../support/wait";

for (const [name, deploy] of Object.entries(DEPLOYMENTS)) {
  describe(`with ${name}, a limit`, () => {
    const LIMITS = {
      BATON_CONNECTIONS_MAX: "12",
      BATON_USER_CONNECTIONS_MAX: "5",
      BATON_REGISTRATIONS_MAX: "40",
      BATON_IDEMPOTENCY_MAX: "8",
    };
    let small: Deployment;
    let caller: Caller;
    beforeAll(async () => {
      small = await deploy(LIMITS);
    }, 120_000);
    afterAll(() => small[Symbol.asyncDispose]());
    beforeEach(() => {
      caller = new Caller(small);
    });
    afterEach(() => caller[Symbol.asyncDispose]());

    const opens = (id: string | undefined): Promise<boolean> =>
      caller.open(`/ws/${id}`).then(
        () => true,
        () => false,
      );
    const remove = async (ids: readonly string[]): Promise<void> => {
      await Promise.all(ids.map((id) => caller.call("DELETE", `/register/${id}`)));
    };

    test("on the connections of a user counts them over all nodes, until they close", async () => {
      const user = "somebody";
      const ids = await Promise.all(Array.from({ length: 6 }, () => caller.register(user)));
      const clients = [];
      for (const id of ids.slice(0, 5)) clients.push(await caller.open(`/ws/${id}`));
      expect(await opens(ids[5])).toBe(false);
      const refused = await caller.post("/register", { user_id: user });
      expect([refused.status, refused.json.error.code]).toEqual([429, "too_many_user_connections"]);
      await clients[0]?.close();
      await until("room for another connection", () => opens(ids[5]));
      await remove(ids);
    });

    // With Redis each process counts its own, as the first such deployment shows.
    const isShared = !name.includes("Redis");
    if (isShared || name === "two nodes over Redis") {
      test("on the connections of an address counts them over all workers of a machine, until they close", async () => {
        await using behindProxy = await deploy({
          BATON_TRUSTED_PROXIES: "127.0.0.1",
          BATON_ADDRESS_CONNECTIONS_MAX: "4",
        });
        await using many = new Caller(behindProxy);
        const headers = { "x-forwarded-for": "198.51.100.1" };
        const open = (path: string, more = headers) => many.open(path, more).catch(() => undefined);
        const sockets = await Promise.all(
          Array.from({ length: 24 }, async (_, i) => open(`/ws/${await many.register(i)}`)),
        );
        const opened = sockets.filter((socket) => socket !== undefined);
        if (isShared) expect(opened).toHaveLength(4);
        else expect(opened).toHaveLength(8);
        const session = (more?: typeof headers) => open("/connection/websocket", more);
        expect(await session({ "x-forwarded-for": "198.51.100.2" })).toBeDefined();
        if (!isShared) return;
        const connected = async (): Promise<boolean> => {
          const client = await session();
          client?.send('{"id":1,"connect":{}}');
          return JSON.parse((await client?.next()) ?? "{}").connect !== undefined;
        };
        expect(await connected()).toBe(false);
        await opened[0]?.close();
        await until("room for another connection", connected);
      }, 120_000);
    }

    test("on all connections counts those of all workers of a machine, until they close", async () => {
      const most = 12 * small.urls.length;
      const ids = await Promise.all(
        Array.from({ length: 36 }, (_, i) => caller.register(`somebody's ${i}`)),
      );
      const opened = await Promise.all(ids.map(opens));
      expect(opened.filter(Boolean)).toHaveLength(most);
      const left = ids.filter((_, i) => !opened[i]);
      await remove(ids.filter((_, i) => opened[i]));
      await until("room for other connections", async () => {
        const id = left.pop() ?? (await caller.register("another"));
        ids.push(id);
        return opens(id);
      });
      await remove(ids);
    });

    test("on registrations without a client counts them over all nodes", async () => {
      const answers = await Promise.all(
        Array.from({ length: 60 }, (_, i) => caller.post("/register", { user_id: i })),
      );
      const refused = answers.filter(({ status }) => status !== 200);
      expect(refused).toHaveLength(20);
      expect(refused[0]).toMatchObject({
        status: 429,
        json: { error: { code: "too_many_registrations" } },
      });
      const good = answers.filter(({ status }) => status === 200);
      await remove(good.map(({ json }) => json.url.slice(-32)));
    });

    test("on idempotency keys forgets the oldest over all nodes, and refuses nothing", async () => {
      const publish = (i: number) =>
        caller.post("/publish", { topic: "t", message: "m", idempotency_key: `k${i}` });
      const answers = [];
      for (let i = 0; i < 20; i++) answers.push(await publish(i));
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
      expect((await publish(19)).json.offset).toBe(answers[19]?.json.offset);
      expect((await publish(0)).json.offset).toBe(answers[19]?.json.offset + 1);
    });
  });
}
