// Workers that die or get stuck, and a supervisor that dies. Rows F2 to F5, F8, F9 and F12 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ProcessClock } from "../../../src/workers/system/process-clock";
import { Client } from "../../support/clients/client";
import { inFull } from "../../support/in-full";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { isAlive, memoryKb } from "../../support/machine/processes";
import {
  expectAllReceived,
  RelayWithWorkers,
  RetryingPublisher,
} from "../../support/relay/relay-with-workers";
import { until } from "../../support/wait";

const KILLED = "the worker does not answer, so it is killed";

describe("workers that are killed, or whose supervisor is", () => {
  test.each(["memory", "sqlite"])(
    "F2, F8: killing workers one after the other loses no message for clients that resume (%s)",
    async (engine) => {
      using folder = new Folder();
      const file = `sqlite:${join(folder.path, "baton.db")}`;
      const BATON_ENGINE = engine === "sqlite" ? file : engine;
      await using relay = await RelayWithWorkers.start({ BATON_ENGINE });
      const clients = await relay.connectClients(12);
      const publisher = new RetryingPublisher(relay, "t");
      for (let round = 0; round < inFull(6, 3); round++) {
        const workers = await relay.workers();
        await publisher.untilMore(100);
        const victim = workers[round % workers.length] as number;
        process.kill(victim, "SIGKILL");
        await relay.untilReplaced([victim]);
      }
      await expectAllReceived(clients, await publisher.stop());
      expect(clients.some(({ connectionsLost }) => connectionsLost > 0)).toBe(true);
    },
  );

  test.each([0, 1])(
    "F3: workers end with a supervisor that is killed and leave the port, also when %i of them are stopped",
    async (stopped) => {
      const PORT = `${freePort()}`;
      await using relay = await RelayWithWorkers.start({ PORT });
      const workers = await relay.workers();
      expect(workers).toHaveLength(3);
      for (const pid of workers.slice(0, stopped)) process.kill(pid, "SIGSTOP");
      relay.process.signal("SIGKILL");
      await until("the workers to end", () => !workers.some(isAlive));
      await using next = await RelayWithWorkers.start({ PORT });
      expect((await next.caller.post("/register", { user_id: 1 })).status).toBe(200);
    },
  );
});

describe("workers that do not answer", () => {
  test("F4: a stopped worker is killed within seconds and replaced, and no message is lost meanwhile", async () => {
    await using relay = await RelayWithWorkers.start();
    const clients = await relay.connectClients(12);
    const publisher = new RetryingPublisher(relay, "t");
    const [victim = 0] = await relay.workers();
    process.kill(victim, "SIGSTOP");
    // 5 s of silence, up to 1 s until the supervisor notices, and the start of another worker.
    await relay.untilReplaced([victim]);
    await publisher.untilMore(50);
    await expectAllReceived(clients, await publisher.stop());
    await until("a line that says so", () => relay.logged.includes(KILLED));
  });

  test("F4: a worker that is stopped for two seconds is waited for, and so are its publishers", async () => {
    await using relay = await RelayWithWorkers.start({ BATON_HISTORY_BYTES: "1000000000" });
    const clients = await relay.connectClients(6);
    const padding = "x".repeat(60_000);
    const others = Array.from(
      { length: 8 },
      (_, i) => new RetryingPublisher(relay, `t${i}`, padding),
    );
    const publisher = new RetryingPublisher(relay, "t", padding);
    await until("some publications", () => publisher.count > 20);
    const workers = await relay.workers();
    process.kill(workers[0] as number, "SIGSTOP");
    await Bun.sleep(2_000);
    process.kill(workers[0] as number, "SIGCONT");
    await publisher.untilMore(20);
    await Promise.all(others.map((other) => other.stop()));
    await expectAllReceived(clients, await publisher.stop());
    expect(await relay.workers()).toEqual(workers);
  });

  test("F4: a worker that gets no core to run on is waited for, however long", async () => {
    await using relay = await RelayWithWorkers.start();
    const [starved = 0] = await relay.workers();
    const loops = occupyTheCoreOf(starved);
    try {
      const clock = new ProcessClock(starved);
      const begunAt = performance.now();
      const hasStarved = async () => {
        await Bun.sleep(500);
        return performance.now() - begunAt - clock.now() > 15_000;
      };
      await until("the worker to starve", hasStarved);
    } finally {
      for (const loop of loops) loop.kill("SIGKILL");
    }
    expect(await relay.workers()).toContain(starved);
    expect(relay.logged).not.toContain(KILLED);
  });

  test("F12: what the supervisor does too late, because it was stopped, leaves no connections that count and are not there", async () => {
    await using relay = await RelayWithWorkers.start({ BATON_USER_CONNECTIONS_MAX: "3" });
    const { pid, url } = relay.process;
    const ids = await Promise.all(["u", "u", "u"].map((user) => relay.caller.register(user)));
    const connect = (id: string) => Client.open(`${url.replace("http", "ws")}/ws/${id}`);
    process.kill(pid, "SIGSTOP");
    try {
      // Their calls fail after 5 s, and wait in the pipe.
      const attempts = await Promise.allSettled(ids.map(connect));
      expect(attempts.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    const isHealthy = async () => (await fetch(`${url}/health`)).status === 200;
    await until("every worker to be healthy", async () => {
      const answers = await Promise.all(Array.from({ length: 30 }, isHealthy));
      return answers.every((one) => one);
    });
    const others = await Promise.all(["u", "u", "u"].map((user) => relay.caller.register(user)));
    await Promise.all(others.map(connect));
  });

  test("F9: a worker that reads nothing of what it is sent costs bounded memory until it is killed", async () => {
    await using relay = await RelayWithWorkers.start({ BATON_HISTORY_SIZE: "10" });
    const clients = await relay.connectClients(6);
    const { pid } = relay.process;
    const beforeKb = memoryKb(pid);
    const [victim = 0] = await relay.workers();
    process.kill(victim, "SIGSTOP");
    let isReplaced = false;
    let growthKb = 0;
    const publishers = Array.from({ length: 16 }, async () => {
      while (!isReplaced) {
        await publishOrGiveUp(relay.process.url);
        growthKb = Math.max(growthKb, memoryKb(pid) - beforeKb);
      }
    });
    await relay.untilReplaced([victim]);
    isReplaced = true;
    await Promise.all(publishers);
    // Twice the 64 MiB that may be unacknowledged, since they are copied on their way, and what publishing costs anyway.
    expect(growthKb).toBeLessThan(350_000);
    await until("all clients to be back", () => clients.every(({ ready }) => ready));
    await Promise.all(clients.map((client) => client.stop()));
  });
});

describe("workers that die as soon as they start", () => {
  test("F5: workers that all die as soon as they start are started less and less often, and then the relay ends with 1", async () => {
    using folder = new Folder();
    const rules = join(folder.path, "topics.json");
    writeFileSync(rules, "{}");
    await using relay = await RelayWithWorkers.start({
      BATON_WORKERS: "4",
      BATON_TOPICS_FILE: rules,
    });
    writeFileSync(rules, "no JSON");
    const begunAt = performance.now();
    for (const pid of await relay.workers()) process.kill(pid, "SIGKILL");
    expect(await relay.process.ended()).toBe(1);
    expect(performance.now() - begunAt).toBeGreaterThan(10_000);
    // The last words of another worker may come after it.
    expect(relay.process.errors).toContain(
      "baton: the workers end as soon as they start, the last one with code 1\n",
    );
    expect(deathsIn(relay)).toBe(20);
  });

  test("F5: one worker that dies as soon as it starts ends nothing while others serve, and serves again as soon as it can", async () => {
    using folder = new Folder();
    const rules = join(folder.path, "topics.json");
    writeFileSync(rules, "{}");
    await using relay = await RelayWithWorkers.start({ BATON_TOPICS_FILE: rules });
    writeFileSync(rules, "no JSON");
    const [victim = 0] = await relay.workers();
    process.kill(victim, "SIGKILL");
    await until("some deaths", () => deathsIn(relay) >= 5);
    expect((await relay.caller.post("/register", { user_id: 1 })).status).toBe(200);
    writeFileSync(rules, "{}");
    await relay.untilReplaced([victim]);
    await until("all workers to serve", () => relay.listeners === 3);
  });
});

function deathsIn(relay: RelayWithWorkers): number {
  return relay.logged.filter((message) => message.startsWith("a worker has died")).length;
}

/** Binds the process to one core, behind busy loops that all have precedence over it there. */
function occupyTheCoreOf(pid: number): Bun.Subprocess[] {
  // Not every core of the machine need be one for this process.
  const [, core = "0"] =
    /Cpus_allowed_list:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  const bindToOneCore = ["taskset", "--all-tasks", "--cpu-list", "--pid", core, String(pid)];
  const runWhenIdle = ["chrt", "--all-tasks", "--idle", "--pid", "0", String(pid)];
  for (const command of [bindToOneCore, runWhenIdle]) Bun.spawnSync(command);
  return Array.from({ length: 20 }, () =>
    Bun.spawn(["taskset", "--cpu-list", core, process.execPath, "-e", "for (;;);"]),
  );
}

/** Publishes a large message, and gives up after half a second. */
async function publishOrGiveUp(url: string): Promise<void> {
  const request = fetch(`${url}/publish`, {
    method: "POST",
    body: JSON.stringify({ topic: "t", message: "x".repeat(60_000) }),
    headers: { "content-type": "application/json", connection: "close" },
    signal: AbortSignal.timeout(500),
  });
  await request.then((answer) => answer.arrayBuffer()).catch(() => {});
}
