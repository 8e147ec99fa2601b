// Workers that are replaced on SIGHUP. Row F11 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { inFull } from "../../support/in-full";
import { Folder } from "../../support/machine/folder";
import {
  expectAllReceived,
  RelayWithWorkers,
  RetryingPublisher,
} from "../../support/relay/relay-with-workers";
import { until } from "../../support/wait";

const REPLACEMENTS = inFull(10, 4);

/** Opens one connection after the other, and counts how many workers listen meanwhile, until it is stopped. */
class Observer {
  opened = 0;
  refusedTwice = 0;
  leastListeners = Number.POSITIVE_INFINITY;
  readonly #relay: RelayWithWorkers;
  readonly #ended: Promise<unknown>;
  #stopped = false;

  constructor(relay: RelayWithWorkers) {
    this.#relay = relay;
    this.#ended = Promise.all([this.#openUntilStopped(), this.#countUntilStopped()]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ended;
  }

  async #openUntilStopped(): Promise<void> {
    const { caller } = this.#relay;
    const open = async () => {
      const id = await caller.register("visitor", ["visits"]);
      const client = await caller.open(`/ws/${id}`);
      client.drop();
      this.opened++;
    };
    while (!this.#stopped) {
      await open()
        .catch(() => open())
        .catch(() => this.refusedTwice++);
    }
  }

  async #countUntilStopped(): Promise<void> {
    while (!this.#stopped) {
      this.leastListeners = Math.min(this.leastListeners, this.#relay.listeners);
      await Bun.sleep(2);
    }
  }
}

describe("SIGHUP", () => {
  test("F11: replacing all workers again and again under load loses and doubles nothing, refuses nobody twice, and never leaves too few that listen", async () => {
    await using relay = await RelayWithWorkers.start();
    const clients = await relay.connectClients(12);
    const publisher = new RetryingPublisher(relay, "t");
    const observer = new Observer(relay);
    for (let round = 0; round < REPLACEMENTS || observer.opened <= 30; round++) {
      const before = await relay.workers();
      relay.process.signal("SIGHUP");
      await relay.untilReplaced(before);
    }
    await observer.stop();
    expect(observer.refusedTwice).toBe(0);
    // A new worker listens before an old one stops to.
    expect(observer.leastListeners).toBe(3);
    const published = await publisher.stop();
    expect(publisher.refusedTwice).toBe(0);
    // Each client reconnects for each replacement, and seldom twice: to an old worker that still listened.
    const losses = clients.map(({ connectionsLost }) => connectionsLost);
    for (const count of losses) expect(count).toBeGreaterThanOrEqual(REPLACEMENTS);
    const sum = losses.reduce((total, count) => total + count, 0);
    expect(sum).toBeLessThan(clients.length * (REPLACEMENTS + 1));
    await expectAllReceived(clients, published);
  });

  test("F11: the old workers stay when new ones do not start, and the replacement can be tried again", async () => {
    using folder = new Folder();
    const rules = join(folder.path, "topics.json");
    writeFileSync(rules, "{}");
    await using relay = await RelayWithWorkers.start({ BATON_TOPICS_FILE: rules });
    const workers = await relay.workers();
    writeFileSync(rules, "no JSON");
    relay.process.signal("SIGHUP");
    const failure = "SIGHUP: the workers could not be replaced: BATON_TOPICS_FILE";
    const hasFailed = () => relay.logged.some((line) => line.startsWith(failure));
    await until("the replacement to fail", hasFailed);
    expect(await relay.workers()).toEqual(workers);
    expect(relay.logged).not.toContain("all workers have been replaced");
    writeFileSync(rules, "{}");
    relay.process.signal("SIGHUP");
    await relay.untilReplaced(workers);
  });

  test("new workers have the new keys, and none comes when something has changed that only a restart takes up", async () => {
    using folder = new Folder();
    const keys = join(folder.path, "keys");
    const config = join(folder.path, "baton.toml");
    writeFileSync(keys, "first-key-0123456789");
    writeFileSync(config, "");
    await using relay = await RelayWithWorkers.start({
      BATON_API_KEYS_FILE: keys,
      BATON_CONFIG: config,
    });
    const statusOf = async (key: string) => {
      const headers = { "x-api-key": key };
      return (await relay.caller.call("GET", "/topics/t/history", undefined, headers)).status;
    };
    const workers = await relay.workers();
    writeFileSync(keys, "other-key-0123456789:read");
    writeFileSync(config, "BATON_HISTORY_BYTES = 1000000");
    relay.process.signal("SIGHUP");
    const failure = "BATON_HISTORY_BYTES has changed, which only a restart takes up.";
    const hasFailed = () => relay.logged.some((line) => line.endsWith(failure));
    await until("the replacement to fail", hasFailed);
    expect(await relay.workers()).toEqual(workers);
    writeFileSync(config, "");
    relay.process.signal("SIGHUP");
    await relay.untilReplaced(workers);
    expect(await statusOf("other-key-0123456789")).toBe(200);
    expect(await statusOf("first-key-0123456789")).toBe(401);
  });

  test("a configuration that has lost its keys opens no worker, neither with SIGHUP nor when one has died", async () => {
    using folder = new Folder();
    const config = join(folder.path, "baton.toml");
    const keys = 'BATON_API_KEYS = ["first-key-0123456789"]';
    writeFileSync(config, keys);
    await using relay = await RelayWithWorkers.start({ BATON_CONFIG: config });
    const headers = { "x-api-key": "first-key-0123456789" };
    const statusOf = async (given = {}) =>
      (await relay.caller.call("GET", "/topics/t/history", undefined, given)).status;
    const workers = await relay.workers();
    writeFileSync(config, "");
    relay.process.signal("SIGHUP");
    const isLogged = (text: string) => relay.logged.some((line) => line.includes(text));
    await until("SIGHUP to be refused", () => isLogged("but not removed: restart it"));
    expect(await relay.workers()).toEqual(workers);
    process.kill(workers[0] as number, "SIGKILL");
    // The next one ends as soon as it starts.
    const deaths = () => relay.logged.filter((line) => line.startsWith("a worker has died")).length;
    await until("another worker to be refused", () => deaths() >= 2);
    expect(relay.process.errors).toContain("the relay was started with other guards");
    for (let i = 0; i < 20; i++) expect(await statusOf()).toBe(401);
    writeFileSync(config, keys);
    await until(
      "its place to be filled",
      async () => (await relay.workers()).length === workers.length,
    );
    for (let i = 0; i < 20; i++) expect(await statusOf(headers)).toBe(200);
  });

  test.each(["memory", "sqlite:"])("the engine %s takes up new rules", async (engine) => {
    using folder = new Folder();
    const rules = join(folder.path, "topics.json");
    writeFileSync(rules, "{}");
    await using relay = await RelayWithWorkers.start({
      BATON_TOPICS_FILE: rules,
      BATON_ENGINE: engine === "memory" ? engine : `${engine}${folder.path}/baton.db`,
    });
    for (const message of ["1", "2", "3"]) await relay.process.publish("t", message);
    const workers = await relay.workers();
    writeFileSync(rules, '{"t": {"history_size": 1}}');
    relay.process.signal("SIGHUP");
    await relay.untilReplaced(workers);
    const { publications } = await relay.process.history("t");
    expect(publications.map(({ data }) => data)).toEqual(["3"]);
  });
});
