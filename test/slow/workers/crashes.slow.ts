// Workers that die, get stuck, are replaced; a supervisor that dies. Rows F1 to F6, F8, F9 and F11 of the fault catalogue.

import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ProcessClock } from "../../../src/workers/process-clock";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { Folder } from "../../support/machine/folder";
import { memoryKb } from "../../support/machine/processes";
import { Caller } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const LONG_MS = 60_000;

let running: RelayProcess[] = [];
afterEach(async () => {
  for (const relay of running) await relay[Symbol.asyncDispose]();
  running = [];
});

async function start(env: Record<string, string> = {}): Promise<RelayProcess> {
  const relay = await RelayProcess.start({
    BATON_WORKERS: "3",
    BATON_SHUTDOWN_MS: "200",
    BATON_HISTORY_SIZE: "100000",
    ...env,
  });
  running.push(relay);
  return relay;
}

const callerOf = ({ url }: RelayProcess): Caller =>
  new Caller({ urls: [url], async [Symbol.asyncDispose]() {} });

/** Processes that this one has started. */
async function children(pid: number): Promise<number[]> {
  const text = await Bun.file(`/proc/${pid}/task/${pid}/children`).text();
  return text.trim().split(" ").filter(Boolean).map(Number);
}

/** Until there are so many workers, none of them among these. */
function replaced(relay: RelayProcess, gone: readonly number[], count = 3): Promise<void> {
  return until(
    `${count} other workers`,
    async () => {
      const now = await children(relay.pid);
      return now.length === count && !now.some((pid) => gone.includes(pid));
    },
    LONG_MS,
  );
}

/** Sockets that listen on this port: one for each worker that serves. */
function listeners(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n");
  return lines.filter((line) => new RegExp(`^ *\\d+: \\w+:${hex} \\w+:0000 0A `).test(line)).length;
}

const portOf = ({ url }: RelayProcess): number => Number(new URL(url).port);

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Publishes 0, 1, 2… until told to stop, trying each again with its key until it is acknowledged; `more` behind each. */
function storm(relay: RelayProcess, topic: string, more = "") {
  const caller = callerOf(relay);
  let stopped = false;
  let count = 0;
  let refused = 0;
  const publish = async (number: string) => {
    const body = { topic, message: number + more, idempotency_key: number };
    for (let tries = 0; ; tries++) {
      const answer = await caller.post("/publish", body).catch(() => undefined);
      if (answer?.status === 200) return tries;
      await Bun.sleep(20);
    }
  };
  const over = (async () => {
    while (!stopped) {
      const tries = await publish(String(count++));
      if (tries > 1) refused++;
    }
  })();
  return {
    get count() {
      return count;
    },
    get refused() {
      return refused;
    },
    async stop(): Promise<string[]> {
      stopped = true;
      await over;
      return Array.from({ length: count }, (_, i) => String(i) + more);
    },
  };
}

async function clientsOf(relay: RelayProcess, count: number): Promise<ResumingSocket[]> {
  const clients = Array.from(
    { length: count },
    (_, user) =>
      new ResumingSocket({
        topics: ["t"],
        register: async () => {
          for (;;) {
            try {
              return (await callerOf(relay).register(user)).replace(
                /^/,
                `${relay.url.replace("http", "ws")}/ws/`,
              );
            } catch {
              await Bun.sleep(20);
            }
          }
        },
      }),
  );
  await until("all clients to be ready", () => clients.every(({ ready }) => ready), LONG_MS);
  return clients;
}

/** Every client has got all that was published, once and in order. */
async function haveAll(clients: readonly ResumingSocket[], sent: readonly string[]): Promise<void> {
  await until(
    "all to arrive",
    () => clients.every(({ count }) => count >= sent.length),
    LONG_MS,
  ).catch(() => {});
  for (const client of clients) {
    expect(client.faults).toEqual([]);
    expect(client.lost).toEqual([]);
    expect(client.received.get("t")).toEqual([...sent]);
    await client.stop();
  }
}

describe("workers", () => {
  test.each(["memory", "sqlite"])(
    "F2, F8: that are killed one after the other lose no message for clients that resume (%s)",
    async (engine) => {
      using folder = new Folder();
      const file = `sqlite:${join(folder.path, "baton.db")}`;
      const relay = await start({ BATON_ENGINE: engine === "sqlite" ? file : engine });
      const clients = await clientsOf(relay, 12);
      const publishing = storm(relay, "t");
      for (let round = 0; round < 6; round++) {
        const workers = await children(relay.pid);
        const goal = publishing.count + 100;
        await until("some publications", () => publishing.count > goal, LONG_MS);
        const victim = workers[round % workers.length] as number;
        process.kill(victim, "SIGKILL");
        await replaced(relay, [victim]);
      }
      await haveAll(clients, await publishing.stop());
      expect(clients.some(({ connectionsLost }) => connectionsLost > 0)).toBe(true);
      await relay[Symbol.asyncDispose]();
    },
  );

  test("F4: that are stopped are killed within seconds and replaced, and no message is lost meanwhile", async () => {
    const relay = await start();
    const clients = await clientsOf(relay, 12);
    const publishing = storm(relay, "t");
    const [victim = 0] = await children(relay.pid);
    process.kill(victim, "SIGSTOP");
    const stoppedAt = performance.now();
    await replaced(relay, [victim]);
    // 5 s, one until it is looked at, and what it takes to start another one.
    expect(performance.now() - stoppedAt).toBeLessThan(30_000);
    const goal = publishing.count + 50;
    await until("some publications more", () => publishing.count > goal, LONG_MS);
    await haveAll(clients, await publishing.stop());
    const said = relay.lines.map(({ msg }) => msg);
    expect(said).toContain("the worker does not answer, so it is killed");
  });

  test("F4: that are stopped for a moment are waited for, and publishers with them", async () => {
    const relay = await start({ BATON_HISTORY_BYTES: "1000000000" });
    const clients = await clientsOf(relay, 6);
    const storms = Array.from({ length: 8 }, (_, i) => storm(relay, `t${i}`, "x".repeat(60_000)));
    const own = storm(relay, "t", "x".repeat(60_000));
    await until("some publications", () => own.count > 20, LONG_MS);
    const workers = await children(relay.pid);
    process.kill(workers[0] as number, "SIGSTOP");
    await Bun.sleep(2_000);
    process.kill(workers[0] as number, "SIGCONT");
    const goal = own.count + 20;
    await until("some publications more", () => own.count > goal, LONG_MS);
    await Promise.all(storms.map((each) => each.stop()));
    await haveAll(clients, await own.stop());
    expect(await children(relay.pid)).toEqual(workers);
  });

  test("F4: that get no core to run on are waited for, however long", async () => {
    const relay = await start();
    const [starved = 0] = await children(relay.pid);
    // One core for it alone with busy loops, which all go before it.
    const onOneCore = ["taskset", "--all-tasks", "--cpu-list", "--pid", "0", String(starved)];
    const lastOfAll = ["chrt", "--all-tasks", "--idle", "--pid", "0", String(starved)];
    for (const command of [onOneCore, lastOfAll]) Bun.spawnSync(command);
    const loops = Array.from({ length: 20 }, () =>
      Bun.spawn(["taskset", "--cpu-list", "0", process.execPath, "-e", "for (;;);"]),
    );
    try {
      const clock = new ProcessClock(starved);
      const isStarving = async () => {
        await Bun.sleep(500);
        return performance.now() - begunAt - clock.now() > 15_000;
      };
      const begunAt = performance.now();
      await until("it to starve", isStarving, LONG_MS);
    } finally {
      for (const loop of loops) loop.kill("SIGKILL");
    }
    expect(await children(relay.pid)).toContain(starved);
    const said = relay.lines.map(({ msg }) => msg);
    expect(said).not.toContain("the worker does not answer, so it is killed");
  });

  test("F9: that read nothing of what they are sent cost bounded memory until they are killed", async () => {
    const relay = await start({ BATON_HISTORY_SIZE: "10" });
    const clients = await clientsOf(relay, 6);
    const before = memoryKb(relay.pid);
    const [victim = 0] = await children(relay.pid);
    process.kill(victim, "SIGSTOP");
    let over = false;
    let most = 0;
    const body = JSON.stringify({ topic: "t", message: "x".repeat(60_000) });
    const publishers = Array.from({ length: 16 }, async () => {
      while (!over) {
        const headers = { "content-type": "application/json", connection: "close" };
        const signal = AbortSignal.timeout(500);
        const request = fetch(`${relay.url}/publish`, { method: "POST", body, headers, signal });
        await request.then((answer) => answer.arrayBuffer()).catch(() => {});
        most = Math.max(most, memoryKb(relay.pid) - before);
      }
    });
    await replaced(relay, [victim]);
    over = true;
    await Promise.all(publishers);
    // Twice the 64 MiB that may be unread, since they are copied on their way, and what publishing costs anyway.
    expect(most).toBeLessThan(350_000);
    await until("all clients to be back", () => clients.every(({ ready }) => ready), LONG_MS);
    await Promise.all(clients.map((client) => client.stop()));
  });

  test("F5: that all die as soon as they start are started less and less often, and then the relay ends with 1", async () => {
    using folder = new Folder();
    const rules = join(folder.path, "topics.json");
    writeFileSync(rules, "{}");
    const relay = await start({ BATON_WORKERS: "4", BATON_TOPICS_FILE: rules });
    writeFileSync(rules, "no JSON");
    const begun = performance.now();
    for (const pid of await children(relay.pid)) process.kill(pid, "SIGKILL");
    expect(await relay.exited).toBe(1);
    expect(performance.now() - begun).toBeGreaterThan(10_000);
    expect(relay.errors).toEndWith(
      "baton: the workers end as soon as they start, the last one with code 1\n",
    );
    const starts = relay.lines.filter(({ msg }) => msg.startsWith("a worker has died"));
    expect(starts.length).toBe(20);
  });

  test("F5: one that dies as soon as it starts ends nothing while others serve, and is there as soon as it can", async () => {
    using folder = new Folder();
    const rules = join(folder.path, "topics.json");
    writeFileSync(rules, "{}");
    const relay = await start({ BATON_TOPICS_FILE: rules });
    writeFileSync(rules, "no JSON");
    const [victim = 0] = await children(relay.pid);
    process.kill(victim, "SIGKILL");
    const deaths = () =>
      relay.lines.filter(({ msg }) => msg.startsWith("a worker has died")).length;
    await until("some deaths", () => deaths() >= 5, LONG_MS);
    expect((await callerOf(relay).post("/register", { user_id: 1 })).status).toBe(200);
    writeFileSync(rules, "{}");
    await replaced(relay, [victim]);
    await until("it to serve", () => listeners(portOf(relay)) === 3, LONG_MS);
  });

  test("F11: are replaced ten times on SIGHUP under load: nothing lost or doubled, nobody refused twice, never too few that listen", async () => {
    const relay = await start();
    const clients = await clientsOf(relay, 12);
    const publishing = storm(relay, "t");
    let refusedTwice = 0;
    let opened = 0;
    let fewest = 3;
    let over = false;
    const opening = (async () => {
      const caller = callerOf(relay);
      while (!over) {
        const open = async () => {
          const id = await caller.register("visitor", ["visits"]);
          const client = await caller.open(`/ws/${id}`);
          client.drop();
          opened++;
        };
        await open()
          .catch(() => open())
          .catch(() => refusedTwice++);
      }
    })();
    const watching = (async () => {
      while (!over) {
        fewest = Math.min(fewest, listeners(portOf(relay)));
        await Bun.sleep(2);
      }
    })();
    for (let round = 0; round < 10; round++) {
      const before = await children(relay.pid);
      relay.signal("SIGHUP");
      await replaced(relay, before);
    }
    over = true;
    await Promise.all([opening, watching]);
    expect(refusedTwice).toBe(0);
    expect(opened).toBeGreaterThan(30);
    // A new one listens before an old one stops to.
    expect(fewest).toBe(3);
    const sent = await publishing.stop();
    expect(publishing.refused).toBe(0);
    // Each has come back for each replacement, and seldom twice: to an old worker that had not stopped to listen yet.
    for (const { connectionsLost } of clients) expect(connectionsLost).toBeGreaterThanOrEqual(10);
    expect(clients.reduce((sum, { connectionsLost }) => sum + connectionsLost, 0)).toBeLessThan(
      clients.length * 11,
    );
    await haveAll(clients, sent);
  });

  test("F11: go on when new ones do not start, and there are as many as before", async () => {
    using folder = new Folder();
    const rules = join(folder.path, "topics.json");
    writeFileSync(rules, "{}");
    const relay = await start({ BATON_TOPICS_FILE: rules });
    const workers = await children(relay.pid);
    writeFileSync(rules, "no JSON");
    relay.signal("SIGHUP");
    const failed = () => relay.lines.some(({ msg }) => msg === "the workers could not be replaced");
    await until("it to fail", failed, LONG_MS);
    expect(await children(relay.pid)).toEqual(workers);
    expect(relay.lines.map(({ msg }) => msg)).not.toContain("all workers have been replaced");
    writeFileSync(rules, "{}");
    relay.signal("SIGHUP");
    await replaced(relay, workers);
  });

  test.each([0, 1])(
    "F3: end with their supervisor and leave the port, %i of them stopped",
    async (stopped) => {
      const relay = await start();
      const workers = await children(relay.pid);
      expect(workers).toHaveLength(3);
      for (const pid of workers.slice(0, stopped)) process.kill(pid, "SIGSTOP");
      relay.signal("SIGKILL");
      await until("the workers to end", () => !workers.some(isAlive), LONG_MS);
      const again = await start({ PORT: new URL(relay.url).port });
      expect((await callerOf(again).post("/register", { user_id: 1 })).status).toBe(200);
    },
  );

  test("F6: refuse a second relay on their port, with workers or without", async () => {
    const relay = await start();
    const port = new URL(relay.url).port;
    for (const workers of ["1", "2"]) {
      const second = new RelayProcess({ PORT: port, BATON_WORKERS: workers });
      running.push(second);
      expect(await second.exited).toBe(1);
      expect(second.errors).toContain("is in use");
    }
    expect((await fetch(`${relay.url}/health`)).status).toBe(200);
  });

  test("F6: of two relays that start at once on one port serve for one of them", async () => {
    for (let round = 0; round < 3; round++) {
      const first = await start();
      const { port } = new URL(first.url);
      await first[Symbol.asyncDispose]();
      const both = [1, 2].map(() => new RelayProcess({ PORT: port, BATON_WORKERS: "2" }));
      running.push(...both);
      const ends = both.map(async (relay) => [await relay.exited, relay.errors] as const);
      const [code, line] = await Promise.race(ends);
      expect(code).toBe(1);
      expect(line).toContain("is in use");
      const listens = ({ output }: RelayProcess) => output.includes("Baton listens on");
      await until("the other to listen", () => both.some(listens), LONG_MS);
      expect(both.filter(listens)).toHaveLength(1);
      for (const relay of both) await relay[Symbol.asyncDispose]();
    }
  });

  test("F1: shut down within the window, with 1001 for each connection and exit code 0", async () => {
    const relay = await start();
    const caller = callerOf(relay);
    const clients = await Promise.all(
      Array.from({ length: 30 }, (_, user) => caller.connect(user, ["t"])),
    );
    const workers = await children(relay.pid);
    relay.signal("SIGTERM");
    for (const { closed } of clients) expect((await closed).code).toBe(1001);
    expect(await relay.exited).toBe(0);
    expect(workers.some(isAlive)).toBe(false);
  });

  test("F1: end at once at a second SIGTERM", async () => {
    const relay = await start({ BATON_SHUTDOWN_MS: "600000" });
    const client = await callerOf(relay).connect(1, ["t"]);
    await callerOf(relay).connect(2, ["t"]);
    const workers = await children(relay.pid);
    relay.signal("SIGTERM");
    await until("the shutdown to begin", () => relay.output.includes("SIGTERM"));
    relay.signal("SIGTERM");
    expect(await relay.exited).toBe(1);
    await client.closed;
    await until("the workers to end", () => !workers.some(isAlive));
  });
});
