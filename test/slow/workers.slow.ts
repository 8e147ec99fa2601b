// Workers that die, get stuck, are replaced; a supervisor that dies. Rows F1 to F9 and F11 of shared/faults.md.
import { afterEach, describe, expect, test } from "bun:test";
import { Caller } from "../support/deployments";
import { RelayProcess } from "../support/process";
import { ResumingSocket } from "../support/resuming";
import { until } from "../support/wait";

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

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Publishes 0, 1, 2… until told to stop, trying each again with its key until it is acknowledged. */
function storm(relay: RelayProcess, topic: string) {
  const caller = callerOf(relay);
  let stopped = false;
  let count = 0;
  let refused = 0;
  const publish = async (message: string) => {
    const body = { topic, message, idempotency_key: message };
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
      return Array.from({ length: count }, (_, i) => String(i));
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
    expect(client.got.get("t")).toEqual([...sent]);
    await client.stop();
  }
}

describe("workers", () => {
  test("that are killed one after the other lose no message for clients that resume", async () => {
    const relay = await start();
    const clients = await clientsOf(relay, 12);
    const publishing = storm(relay, "t");
    for (let round = 0; round < 6; round++) {
      const workers = await children(relay.pid);
      const goal = publishing.count + 100;
      await until("some publications", () => publishing.count > goal, LONG_MS);
      const victim = workers[round % workers.length] as number;
      process.kill(victim, "SIGKILL");
      await until(
        "another worker",
        async () => {
          const now = await children(relay.pid);
          return now.length === 3 && !now.includes(victim);
        },
        LONG_MS,
      );
    }
    await haveAll(clients, await publishing.stop());
    expect(clients.some(({ ended }) => ended > 0)).toBe(true);
  });

  test("that are stopped are found, killed and replaced", async () => {
    const relay = await start();
    const clients = await clientsOf(relay, 12);
    const [victim = 0] = await children(relay.pid);
    process.kill(victim, "SIGSTOP");
    await until(
      "it to be killed",
      async () => !(await children(relay.pid)).includes(victim),
      LONG_MS,
    );
    await until("another one", async () => (await children(relay.pid)).length === 3, LONG_MS);
    const publishing = storm(relay, "t");
    await until("some publications", () => publishing.count > 50, LONG_MS);
    await haveAll(clients, await publishing.stop());
  });

  test("are replaced on SIGHUP while clients come and publications go on: nothing lost, nobody refused twice", async () => {
    const relay = await start();
    const clients = await clientsOf(relay, 12);
    const publishing = storm(relay, "t");
    let refusedTwice = 0;
    let opened = 0;
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
    for (let round = 0; round < 3; round++) {
      const before = await children(relay.pid);
      relay.signal("SIGHUP");
      await until(
        "all workers to be new",
        async () => {
          const now = await children(relay.pid);
          return now.length === 3 && now.every((pid) => !before.includes(pid));
        },
        LONG_MS,
      );
    }
    over = true;
    await opening;
    expect(refusedTwice).toBe(0);
    expect(opened).toBeGreaterThan(10);
    const sent = await publishing.stop();
    expect(publishing.refused).toBe(0);
    await haveAll(clients, sent);
  });

  test("end with their supervisor, and leave the port", async () => {
    const relay = await start();
    const workers = await children(relay.pid);
    expect(workers).toHaveLength(3);
    relay.signal("SIGKILL");
    await until("the workers to end", () => !workers.some(isAlive), LONG_MS);
    const again = await start({ PORT: new URL(relay.url).port });
    expect((await callerOf(again).post("/register", { user_id: 1 })).status).toBe(200);
  });

  test("refuse a second relay on their port, with workers or without", async () => {
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

  test("shut down within the window, with 1001 for each connection and exit code 0", async () => {
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
});
