// What every engine, and a relay with any of them, must do when the rules of topics change while it runs.
import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { ENGINES } from "../../src/engines";
import type { Engine } from "../../src/relay/contracts/engine";
import { type RulesByPrefix, TopicRules } from "../../src/relay/contracts/topic-rules";
import { readSettings } from "../../src/settings/read";
import { JsonClient } from "../support/clients/json-client";
import { Engines, engineSetting } from "../support/engines/fresh-engines";
import { Folder } from "../support/machine/folder";
import { engineOptions, NOBODY } from "../support/relay/simulation";
import { startRelay, type TestRelay } from "../support/relay/test-relay";

const OTHERS = { historySize: 100, historyTtlMs: 300_000 };

for (const name of Object.keys(ENGINES)) {
  describe(`the ${name} engine, when rules change,`, () => {
    const engines = new Engines();
    afterEach(() => engines[Symbol.asyncDispose]());

    /** An engine that follows the topic t, what it delivers, and how its rules change. */
    const start = async (byPrefix: RulesByPrefix = {}) => {
      const rules = new TopicRules(OTHERS, byPrefix);
      const engine = await engines.make(name, engineOptions({ rules }));
      const delivered: string[] = [];
      const deliver = ({ data }: { data: string }) => delivered.push(data);
      await engine.start({ ...NOBODY, deliver, historyReset: () => delivered.push("reset") });
      engine.follow("t");
      await readAll(engine);
      const change = (next: RulesByPrefix) =>
        engine.rulesChanged?.(rules.replace(new TopicRules(OTHERS, next)));
      return { engine, delivered, change };
    };
    const readAll = async (engine: Engine) => {
      const { top, publications } = await engine.history("t", { limit: 1_000, size: 1e6 });
      return { top, texts: publications.map(({ data }) => data) };
    };
    const publish = async (engine: Engine, ...texts: readonly string[]) => {
      for (const data of texts) await engine.publish({ topic: "t", data });
    };

    test("keeps fewer publications from the next read on, and more from the next publication on", async () => {
      const { engine, change } = await start();
      await publish(engine, "1", "2", "3", "4");
      const { top } = await readAll(engine);
      change({ t: { historySize: 2 } });
      expect(await readAll(engine)).toEqual({ top, texts: ["3", "4"] });
      await publish(engine, "5");
      change({ t: { historySize: 4 } });
      await publish(engine, "6", "7");
      expect((await readAll(engine)).texts).toEqual(["4", "5", "6", "7"]);
    });

    test("answers with no position of a topic that keeps no history any more, and delivers what is published to it", async () => {
      const { engine, delivered, change } = await start();
      await publish(engine, "1");
      change({ t: { historySize: 0 } });
      expect(await readAll(engine)).toEqual({ top: undefined, texts: [] });
      await publish(engine, "2");
      expect(await readAll(engine)).toEqual({ top: undefined, texts: [] });
      expect(delivered).toEqual(["1", "2"]);
    });

    test("begins another epoch where publications have had no offset in between, and delivers each once", async () => {
      const { engine, delivered, change } = await start();
      await publish(engine, "1", "2");
      const before = await readAll(engine);
      change({ t: { historySize: 0 } });
      await publish(engine, "3");
      change({});
      await publish(engine, "4", "5");
      const after = await readAll(engine);
      expect(after.texts).toEqual(["4", "5"]);
      expect(after.top?.offset).toBe(2);
      expect(after.top?.epoch).not.toBe(before.top?.epoch);
      expect(delivered).toEqual(["1", "2", "3", "4", "5"]);
    });

    test("begins to keep a history of a topic that had none", async () => {
      const { engine, delivered, change } = await start({ t: { historySize: 0 } });
      await publish(engine, "1");
      change({});
      const begun = await readAll(engine);
      expect(begun).toMatchObject({ top: { offset: 0 }, texts: [] });
      await publish(engine, "2");
      expect(await readAll(engine)).toEqual({
        top: { epoch: begun.top?.epoch as string, offset: 1 },
        texts: ["2"],
      });
      expect(delivered).toEqual(["1", "2"]);
    });
  });

  describe(`a relay with the ${name} engine that reads its topics file again`, () => {
    /** A relay with these rules, and how others are put in force. */
    const start = async (folder: Folder, rules: object) => {
      const file = join(folder.path, "topics.json");
      await Bun.write(file, JSON.stringify(rules));
      const env = {
        BATON_TOPICS_FILE: file,
        BATON_ENGINE: await engineSetting(name, folder.path),
        BATON_REDIS_PREFIX: crypto.randomUUID(),
      };
      const relay = await startRelay(env);
      const change = async (next: object) => {
        await Bun.write(file, JSON.stringify(next));
        return relay.running.reloads.take(readSettings(env));
      };
      return { relay, change };
    };
    const presence = async (relay: TestRelay, topic: string) =>
      (await relay.request("GET", `/topics/${topic}/presence?counts=true`)).json;

    test("goes on sending to the connections that are there, and recovers what is kept by the new rule", async () => {
      using folder = new Folder();
      const { relay, change } = await start(folder, {});
      await using _ = relay;
      const client = await JsonClient.connect(relay);
      await client.choose(["t"]);
      await relay.publish("t", "1");
      expect(await client.next()).toMatchObject({ data: "1", offset: 1 });
      await change({ t: { history_size: 0 } });
      await relay.publish("t", "2");
      expect(await client.next()).toEqual({ topic: "t", data: "2" });
      await change({ t: { history_size: 5 } });
      await relay.publish("t", "3");
      expect(await client.next()).toMatchObject({ data: "3", offset: 1 });
      const other = await JsonClient.connect(relay);
      const { epoch } = (await relay.request("GET", "/topics/t/history")).json;
      const { t } = await other.choose(["t"], { t: { epoch, offset: 0 } });
      expect(t).toMatchObject({ recovered: true, offset: 1 });
      expect(await other.next()).toMatchObject({ data: "3" });
    });

    test("tells a client whose position is of before a time without history that it has missed something", async () => {
      using folder = new Folder();
      const { relay, change } = await start(folder, {});
      await using _ = relay;
      await relay.publish("t", "1");
      const { epoch, offset } = (await relay.request("GET", "/topics/t/history")).json;
      await change({ t: { history_size: 0 } });
      await relay.publish("t", "2");
      await change({});
      const client = await JsonClient.connect(relay);
      const { t } = await client.choose(["t"], { t: { epoch, offset } });
      expect(t).toMatchObject({ recovered: false });
    });

    test("counts those who are in a topic already when its rule begins to ask for presence", async () => {
      using folder = new Folder();
      const { relay, change } = await start(folder, {});
      await using _ = relay;
      await relay.connect(1, ["t"]);
      const second = await relay.connect(2, ["t"]);
      await relay.connect(3, ["other"]);
      expect(await presence(relay, "t")).toMatchObject({ error: { code: "not_available" } });
      await change({ t: { presence: true } });
      expect(await presence(relay, "t")).toEqual({ clients: 2, users: 2 });
      second.send({ topics: [] });
      await second.settled();
      expect(await presence(relay, "t")).toEqual({ clients: 1, users: 1 });
      await change({});
      expect(await presence(relay, "t")).toMatchObject({ error: { code: "not_available" } });
      await change({ t: { presence: true } });
      expect(await presence(relay, "t")).toEqual({ clients: 1, users: 1 });
    });
  });
}
