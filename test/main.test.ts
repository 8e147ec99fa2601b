// The process: its start, its signals, its exit codes. Rows F1, F6, F7, F10 and G20 of the fault catalogue.

import { describe, expect, test } from "bun:test";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "./support/clients/client";
import { type IssuedCertificate, nameOf, trustedAuthority } from "./support/machine/authority";
import { Folder } from "./support/machine/folder";
import { RelayProcess } from "./support/relay/relay-process";
import { startRelay } from "./support/relay/test-relay";
import { until } from "./support/wait";

describe("the start of the process", () => {
  test.each([
    ["without keys", ""],
    ["with keys", "a-long-random-key,another-long-key"],
  ])(
    "a start logs one line that says where the relay listens, and a command to try, which works, %s",
    async (_, keys) => {
      await using relay = await RelayProcess.start({ BATON_API_KEYS: keys });
      expect(relay.lines).toHaveLength(1);
      expect(relay.lines[0]?.msg).toContain(`${relay.url}/openapi`);
      const [, command = ""] = /Try: (curl .*\}'),/.exec(relay.lines[0]?.msg ?? "") ?? [];
      expect(command.includes("<your key>")).toBe(keys !== "");
      expect(relay.output).not.toContain("random");
      const typed = command.replace("<your key>", "another-long-key");
      const { stdout } = Bun.spawnSync(["sh", "-c", `${typed} -s`]);
      expect(JSON.parse(stdout.toString()).url).toStartWith("ws://");
    },
  );

  test("F6: a start on a port in use, also by another Baton, ends with one line and exit code 1", async () => {
    await using first = await RelayProcess.start();
    const { port } = new URL(first.url);
    const others = ["1", "2"].map(
      (workers) => new RelayProcess({ PORT: port, BATON_WORKERS: workers }),
    );
    for (const second of others) {
      expect(await second.ended()).toBe(1);
      expect(second.errors).toMatch(/^baton: 127\.0\.0\.1:\d+ is in use.*PORT.*\n$/);
      expect(second.output).toBe("");
    }
    expect((await fetch(`${first.url}/health`)).status).toBe(200);
  }, 120_000);

  test.each([
    [{ PORT: "abc" }, /^baton: PORT="abc" is not allowed: .*\n$/],
    [
      { BATON_WORKERS: "2", BATON_ENGINE: "sqlite:/missing/b.db" },
      /^baton: \/missing.* be created: .*\n$/,
    ],
    [{ BATON_ENGINE: "sqlite:/missing/b.db" }, /^baton: \/missing\/b\.db cannot be created: .*\n$/],
    [{ HOST: "203.0.113.7", BATON_INSECURE: "1" }, /^baton: .*203\.0\.113\.7.*\n$/],
  ])("F10, G18: a start with %j ends with one line and exit code 1", async (env, line) => {
    const relay = new RelayProcess(env as Record<string, string>);
    expect(await relay.ended()).toBe(1);
    expect(relay.errors).toMatch(line);
    expect(relay.output).toBe("");
  });

  test("a start warns of an unknown variable and of a short API key", async () => {
    await using relay = await RelayProcess.start({ BATON_PINGMS: "1", BATON_API_KEYS: "short" });
    const warnings = relay.lines.filter(({ level }) => level === 40);
    expect(JSON.stringify(warnings)).toContain("BATON_PINGMS");
    expect(JSON.stringify(warnings)).not.toContain('short"');
    expect(warnings).toHaveLength(2);
  });
});

test("F7: every error that nobody catches is logged, and the relay goes on", async () => {
  using folder = new Folder();
  const faults = join(folder.path, "faults.ts");
  writeFileSync(
    faults,
    `process.on("SIGUSR2", () => {
       setTimeout(() => { throw new Error("fault 1"); });
       setTimeout(() => { throw null; });
       setTimeout(() => void Promise.reject(new Error("fault 2")));
       setTimeout(() => void Promise.reject(null));
       setTimeout(() => queueMicrotask(() => { throw new Error("fault 3"); }));
     });`,
  );
  await using relay = await RelayProcess.start({ BUN_OPTIONS: `--preload ${faults}` });
  relay.signal("SIGUSR2");
  const logged = () => relay.lines.filter(({ level }) => level === 50);
  await until("all to be logged", () => logged().length === 5);
  for (const fault of ["fault 1", "fault 2", "fault 3"]) expect(relay.output).toContain(fault);
  expect((await fetch(`${relay.url}/health`)).status).toBe(200);
});

test("G20: with the memory engine every start has an epoch of its own", async () => {
  const epochs = new Set<string>();
  for (let i = 0; i < 2; i++) {
    await using relay = await startRelay();
    const { json } = await relay.post("/publish", { topic: "t", message: "m" });
    expect(json.offset).toBe(1);
    epochs.add(json.epoch);
  }
  expect(epochs.size).toBe(2);
});

describe("SIGHUP, with one process,", () => {
  /** A relay with a topics file in which presence is asked for or not, and whether it is now. */
  const start = async (folder: Folder) => {
    const file = join(folder.path, "topics.json");
    writeFileSync(file, "{}");
    const relay = await RelayProcess.start({ BATON_TOPICS_FILE: file });
    const hasPresence = async () => (await fetch(`${relay.url}/topics/t/presence`)).status === 200;
    return { relay, file, hasPresence };
  };

  test("reads the topics file again, and connections stay", async () => {
    using folder = new Folder();
    const { relay, file, hasPresence } = await start(folder);
    await using _ = relay;
    const client = await Client.open(await relay.register());
    writeFileSync(file, '{"t": {"presence": true}}');
    expect(await hasPresence()).toBe(false);
    relay.signal("SIGHUP");
    await until("the new rule", hasPresence);
    await relay.publish("tech", "still here");
    expect(await client.next()).toBe("still here");
    expect(relay.loggedErrors).toEqual([]);
  }, 120_000);

  test("changes nothing when the topics file is wrong, and the log says what is", async () => {
    using folder = new Folder();
    const { relay, file, hasPresence } = await start(folder);
    await using _ = relay;
    for (const [text, wrong] of [
      ["no JSON", "it cannot be read as JSON"],
      ['{"t": {"presence": 1}}', "at /t/presence it has 1"],
    ] as const) {
      writeFileSync(file, text);
      relay.signal("SIGHUP");
      await until("the line", () => relay.loggedErrors.some(({ msg }) => msg.includes(wrong)));
    }
    for (const { msg } of relay.loggedErrors) {
      expect(msg).toStartWith("SIGHUP: nothing has changed, since what was read cannot be used: ");
    }
    expect(await hasPresence()).toBe(false);
    writeFileSync(file, '{"t": {"presence": true}}');
    relay.signal("SIGHUP");
    await until("the new rule", hasPresence);
  }, 120_000);

  test("ends the relay when it comes because its terminal was closed", async () => {
    let output = "";
    const decoder = new TextDecoder();
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "../src/main.ts")], {
      env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "", PORT: "0" },
      terminal: {
        data: (_, bytes) => {
          output += decoder.decode(bytes);
        },
      },
    });
    await until("the relay to listen", () => output.includes("Baton listens on"));
    child.kill("SIGHUP");
    await until("the answer", () => output.includes("have been read again"));
    child.terminal?.close();
    expect(await child.exited).toBe(0);
  }, 120_000);

  test("takes a renewed certificate, keeps the old one when the files are wrong, and connections stay", async () => {
    using folder = new Folder();
    const [BATON_TLS_CERT, BATON_TLS_KEY] = ["cert", "key"].map((name) => join(folder.path, name));
    const env = { BATON_TLS_CERT: `${BATON_TLS_CERT}`, BATON_TLS_KEY: `${BATON_TLS_KEY}` };
    const install = ({ cert, key }: IssuedCertificate) => {
      copyFileSync(cert, env.BATON_TLS_CERT);
      copyFileSync(key, env.BATON_TLS_KEY);
    };
    const authority = trustedAuthority();
    install(authority.issue("old"));
    await using relay = await RelayProcess.start(env);
    const name = () => nameOf(Number(new URL(relay.url).port));
    const client = await Client.open(await relay.register());
    expect(await name()).toBe("old");
    writeFileSync(env.BATON_TLS_CERT, "");
    relay.signal("SIGHUP");
    const isRefused = () =>
      relay.loggedErrors.some(({ msg }) => msg.includes("has no certificate"));
    await until("the line", isRefused);
    expect(await name()).toBe("old");
    install(authority.issue("new"));
    relay.signal("SIGHUP");
    await until("the new certificate", async () => (await name()) === "new");
    await relay.publish("tech", "still here");
    expect(await client.next()).toBe("still here");
  });
});

describe("F1: a shutdown", () => {
  test("F1: SIGTERM refuses new requests, closes the connections over the window, and exits with code 0", async () => {
    // Long enough for the calls that come while it shuts down, however busy the machine is.
    await using relay = await RelayProcess.start({ BATON_SHUTDOWN_MS: "4000" });
    const clients = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => Client.open(await relay.register(i))),
    );
    const waiting = await relay.register();
    const order: number[] = [];
    const times: number[] = [];
    const closes = clients.map(async ({ closed }, i) => {
      const close = await closed;
      order.push(i);
      times.push(performance.now());
      return close;
    });
    const published = await relay.post("/publish", { topic: "tech", message: "accepted" });
    expect(await published.json()).toMatchObject({ delivered: 60 });
    relay.signal("SIGTERM");
    await until("health to turn", async () => (await fetch(`${relay.url}/health`)).status === 503);
    expect((await relay.post("/register", { user_id: 1 })).status).toBe(503);
    const refused = await relay.post("/publish", { topic: "tech", message: "too late" });
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).not.toBeNull();
    await expect(Client.open(waiting)).rejects.toThrow();

    for (const close of await Promise.all(closes)) {
      expect(close).toEqual({ code: 1001, reason: "shutting down" });
    }
    for (const client of clients) expect(await client.next()).toBe("accepted");
    expect(order).not.toEqual(order.toSorted((a, b) => a - b));
    const spread = (times.at(-1) ?? 0) - (times[0] ?? 0);
    expect(spread).toBeGreaterThan(300);
    expect(await relay.exited).toBe(0);
  });

  test.each([1, 2])(
    "F1: with %i processes, all say that they are not ready and serve through the shutdown delay",
    async (workers) => {
      await using relay = await RelayProcess.start({
        BATON_SHUTDOWN_DELAY_MS: "600000",
        BATON_WORKERS: String(workers),
      });
      // Each on a connection of its own, which the kernel gives to any of the workers.
      const call = async (path: string, body?: unknown) => {
        const init = { method: "POST", body: JSON.stringify(body) };
        const headers = { "content-type": "application/json", connection: "close" };
        const answer = await fetch(relay.url + path, { headers, ...(body !== undefined && init) });
        await answer.text();
        return answer.status;
      };
      const client = await Client.open(await relay.register());
      relay.signal("SIGTERM");
      await until("a 503", async () => (await call("/health/ready")) === 503);
      const ready = async () =>
        Promise.all(Array.from({ length: 40 }, () => call("/health/ready")));
      await until("all to say so", async () => !(await ready()).includes(200));
      for (let i = 0; i < 20; i++) {
        expect(await call("/publish", { topic: "tech", message: `m${i}` })).toBe(200);
        expect(await call("/health/live")).toBe(200);
        expect(await client.next()).toBe(`m${i}`);
      }
      const late = await Client.open(await relay.register(2));
      relay.signal("SIGTERM");
      expect(await relay.exited).toBe(1);
      await Promise.all([client.closed, late.closed]);
    },
    120_000,
  );

  test("F1: after the shutdown delay the connections are closed", async () => {
    const env = { BATON_SHUTDOWN_DELAY_MS: "50", BATON_SHUTDOWN_MS: "50" };
    await using relay = await RelayProcess.start(env);
    const client = await Client.open(await relay.register());
    relay.signal("SIGTERM");
    expect(await client.closed).toEqual({ code: 1001, reason: "shutting down" });
    expect(await relay.exited).toBe(0);
  }, 120_000);

  test("F1: without connections a shutdown ends at once, also with a long window", async () => {
    await using relay = await RelayProcess.start({ BATON_SHUTDOWN_MS: "600000" });
    relay.signal("SIGINT");
    expect(await relay.ended()).toBe(0);
    expect(relay.lines.at(-1)?.msg).toBe("the relay has shut down");
  });

  test("F1: a second SIGTERM ends the relay at once, with sockets open", async () => {
    await using relay = await RelayProcess.start({ BATON_SHUTDOWN_MS: "600000" });
    const clients = await Promise.all(
      Array.from({ length: 5 }, async () => Client.open(await relay.register())),
    );
    relay.signal("SIGTERM");
    await until("the shutdown to begin", () => relay.output.includes("SIGTERM"));
    relay.signal("SIGTERM");
    expect(await relay.exited).toBe(1);
    await Promise.all(clients.map(({ closed }) => closed));
  });

  test("F1: on SIGTERM every publication in flight is answered, and what is acknowledged has arrived", async () => {
    await using relay = await RelayProcess.start({ BATON_SHUTDOWN_MS: "200" });
    const client = await Client.open(await relay.register());
    const answers: Promise<number | undefined>[] = [];
    for (let i = 0; i < 500; i++) {
      const answer = relay.post("/publish", { topic: "tech", message: `message ${i}` });
      answers.push(answer.then(({ status }) => status).catch(() => undefined));
      if (i === 250) {
        await answers[0];
        relay.signal("SIGTERM");
      }
      if (i % 50 === 0) await Bun.sleep(0);
    }
    const acknowledged = (await Promise.all(answers)).filter((status) => status === 200).length;
    await client.closed;
    expect(acknowledged).toBeGreaterThan(0);
    const received = new Set<string>();
    for (let i = 0; i < acknowledged; i++) received.add(await client.next());
    expect(received.size).toBe(acknowledged);
    expect(await relay.exited).toBe(0);
  });
});
