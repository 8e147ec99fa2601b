// The commands that call a relay: what they print, with which exit code they end, and what they say when something is wrong.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Baton, PROGRAM } from "../support/cli/baton";
import { withTls } from "../support/machine/authority";
import { Folder } from "../support/machine/folder";
import { freePort } from "../support/machine/free-port";
import { RelayProcess } from "../support/relay/relay-process";
import { startRelay, type TestRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

const KEY = "a-long-random-key-of-the-backend";

/** Starts to follow topics, and resolves when the relay has the subscription. */
async function subscribed(relay: TestRelay, ...args: string[]): Promise<Baton> {
  const baton = new Baton(["subscribe", ...args], { env: { BATON_URL: relay.url } });
  await until("the subscription", () => relay.counts.topics > 0);
  return baton;
}

describe("baton publish", () => {
  test("publishes a message, to a topic or to one user, and says where it is", async () => {
    await using relay = await startRelay();
    const client = await relay.connect("7", ["tech"]);
    const env = { BATON_URL: relay.url };
    const all = await Baton.run(["publish", "tech", "hi"], { env });
    expect(all.stdout).toMatch(/^delivered to 1 connection, position [a-z]{8}:1\n$/);
    expect(all.code).toBe(0);
    const other = await Baton.run(["publish", "tech", "no", "--user", "8", "--json"], { env });
    expect(JSON.parse(other.stdout)).toMatchObject({ delivered: 0, offset: 2 });
    await Baton.run(["publish", "tech", '{"n": 1}', "--data", "--user", "7"], { env });
    expect(await client.take(2)).toEqual(["hi", '{"n":1}']);
  });

  test("publishes what begins with - when it stands behind --, and says so where it does not", async () => {
    await using relay = await startRelay();
    const env = { BATON_URL: relay.url };
    const client = await relay.connect(7, ["-t"]);
    expect((await Baton.run(["publish", "--", "-t", "-abc"], { env })).code).toBe(0);
    expect(await client.next()).toBe("-abc");
    const { code, stderr } = await Baton.run(["publish", "-t", "-abc"], { env });
    expect([code, stderr]).toEqual([2, expect.stringContaining("Write -- before")]);
  });

  test("publishes once with an idempotency key", async () => {
    await using relay = await startRelay();
    const publish = ["publish", "tech", "hi", "--idempotency-key", "k", "--url", relay.url];
    const first = await Baton.run(publish);
    expect((await Baton.run(publish)).stdout).toBe(first.stdout);
  });

  test("publishes each line of standard input as a message, and the end of what is not whole as well", async () => {
    await using relay = await startRelay();
    const client = await relay.connect(1, ["logs"]);
    const { code, stdout, stderr } = await Baton.run(["publish", "logs"], {
      env: { BATON_URL: relay.url },
      stdin: Buffer.concat([Buffer.from('one\r\n\ntwo "and" a half\nthree'), Buffer.of(0xc3)]),
    });
    expect([code, stdout, stderr]).toEqual([0, "", "3 published\n"]);
    expect(await client.take(3)).toEqual(["one", 'two "and" a half', "three\ufffd"]);
  });

  test("publishes 50,000 publications of standard input in their order, with an answer for each", async () => {
    await using relay = await startRelay({ BATON_HISTORY_SIZE: "50000" });
    const stdin = Array.from({ length: 50_000 }, (_, i) => `{"topic":"t","data":${i}}\n`).join("");
    const baton = new Baton(["publish", "--json"], { env: { BATON_URL: relay.url }, stdin });
    expect(await baton.ended).toBe(0);
    expect(baton.lines.map(({ offset }) => offset)).toEqual(
      Array.from({ length: 50_000 }, (_, i) => i + 1),
    );
  }, 120_000);

  test("names the lines that are refused, publishes the others, and ends with 1", async () => {
    await using relay = await startRelay();
    const { code, stderr } = await Baton.run(["publish"], {
      env: { BATON_URL: relay.url },
      stdin:
        '{"topic":"t","message":"a"}\n\n{"topic":\n{"topic":"t","message":"b"}\n{"topic":""}\n',
    });
    expect(code).toBe(1);
    expect(stderr).toContain("baton: line 3: The line is not JSON in UTF-8. (malformed_json)\n");
    expect(stderr).toContain("baton: line 5: ");
    expect(stderr).toEndWith("2 published, 2 refused\nbaton: 2 of 4 lines were refused.\n");
  });

  test("refuses flags that need a topic, and data that is not JSON, with 2", async () => {
    const lines = await Baton.run(["publish", "--user", "1"]);
    expect([lines.code, lines.stderr]).toEqual([2, expect.stringContaining("need a topic")]);
    const data = await Baton.run(["publish", "tech", "hi", "--data"]);
    expect([data.code, data.stderr]).toEqual([2, expect.stringContaining("must be JSON")]);
  });
});

describe("baton subscribe", () => {
  test("prints each publication of its topics as a line of JSON, and ends after --count", async () => {
    await using relay = await startRelay();
    await using baton = await subscribed(relay, "tech", "sports", "--user", "7", "--count", "3");
    await relay.post("/publish", { topic: "tech", message: "all" });
    await relay.post("/publish", { topic: "tech", message: "another's", user_id: "8" });
    await relay.post("/publish", { topic: "sports", data: { n: 1 } });
    await relay.post("/publish", { topic: "tech", message: "mine", user_id: "7" });
    expect(await baton.ended).toBe(0);
    expect(baton.lines.map(({ topic, data }) => [topic, data])).toEqual([
      ["tech", "all"],
      ["sports", { n: 1 }],
      ["tech", "mine"],
    ]);
    expect(baton.stderr).toBe("");
  });

  test("prints first what came after a position, and says so when that is no longer kept", async () => {
    await using relay = await startRelay();
    const { json } = await relay.post("/publish", { topic: "tech", message: "1" });
    for (const message of ["2", "3"]) await relay.post("/publish", { topic: "tech", message });
    const env = { BATON_URL: relay.url };
    const since = (position: string) =>
      new Baton(["subscribe", "tech", "--since", position, "--count", "2"], { env });
    await using kept = since(`${json.epoch}:1`);
    expect(await kept.ended).toBe(0);
    expect(kept.lines.map(({ data }) => data)).toEqual(["2", "3"]);
    await using lost = since("another:1");
    expect(await lost.untilLines(1)).toMatchObject([{ topics: { tech: { recovered: false } } }]);
    await until("the note", () => lost.stderr.includes("no longer kept"));
  });

  test("resumes without a gap when the relay was killed and has started again", async () => {
    using folder = new Folder();
    const settings = {
      PORT: String(freePort()),
      BATON_ENGINE: `sqlite:${join(folder.path, "baton.db")}`,
      BATON_LOG_LEVEL: "info",
    };
    const first = await RelayProcess.start(settings);
    await using baton = new Baton(["subscribe", "t"], { env: { BATON_URL: first.url } });
    await until("the subscription", async () => (await first.publish("t", "live")) > 0);
    const [line] = await baton.untilLines(1);
    first.signal("SIGKILL");
    await first.exited;
    await using second = await RelayProcess.start(settings);
    for (const message of ["missed 1", "missed 2"]) await second.publish("t", message);
    const lines = await baton.untilLines(3);
    expect(lines.map(({ data }) => data)).toEqual(["live", "missed 1", "missed 2"]);
    const from = Number(line?.offset);
    expect(lines.map(({ offset }) => offset)).toEqual([from, from + 1, from + 2]);
  }, 120_000);

  test("ends without a word when the reader of its output has gone", async () => {
    await using relay = await startRelay();
    const shell = Bun.spawn(
      ["sh", "-c", '"$@" subscribe t | head -n 1; echo ended', "sh", ...PROGRAM],
      { env: { PATH: process.env.PATH ?? "", BATON_URL: relay.url }, stderr: "pipe" },
    );
    await until("the subscription", () => relay.counts.topics > 0);
    let hasEnded = false;
    const publishing = (async () => {
      while (!hasEnded) await relay.post("/publish", { topic: "t", message: "m" });
    })();
    const output = await new Response(shell.stdout).text();
    hasEnded = true;
    // None must be on its way when the relay ends.
    await publishing;
    expect(output).toMatch(/^\{.*"data":"m".*\}\nended\n$/);
    expect(await new Response(shell.stderr).text()).toBe("");
  });

  test("prints nothing that a terminal would act on, and the same JSON", async () => {
    await using relay = await startRelay();
    await using baton = await subscribed(relay, "t", "--count", "1");
    const text = "\u001b]0;title\u0007\u009b2J\u202eabc";
    await relay.publish("t", text);
    expect(await baton.ended).toBe(0);
    expect(baton.stdout).toMatch(/^[\x20-\x7e]+\n$/);
    expect(baton.lines[0]?.data).toBe(text);
  });

  test("ends on Ctrl-C without a word", async () => {
    await using relay = await startRelay();
    await using baton = await subscribed(relay, "t");
    baton.signal("SIGINT");
    // A shell makes 128 + 2 of it.
    expect([await baton.ended, baton.signalCode]).toEqual([130, "SIGINT"]);
    expect(baton.stdout + baton.stderr).toBe("");
  });
});

describe("baton explain", () => {
  test("says why something did not arrive", async () => {
    await using relay = await startRelay();
    const explain = ["explain", "tech", "--user", "7", "--url", relay.url];
    const { code, stdout } = await Baton.run(explain);
    expect(code).toBe(0);
    expect(stdout).toStartWith("offline: ");
    expect(JSON.parse((await Baton.run([...explain, "--json"])).stdout).verdict).toBe("offline");
  });
});

describe("baton health", () => {
  test("ends with 0 where a relay is ready, found by its own settings", async () => {
    await using relay = await startRelay();
    const { port } = new URL(relay.url);
    const env = { PORT: port, HOST: "0.0.0.0", BATON_API_KEYS: KEY };
    expect(await Baton.run(["health"], { env })).toEqual({ code: 0, stdout: "ok\n", stderr: "" });
  });

  test("and other commands reach the relay of their settings over TLS, whoever has issued its certificate", async () => {
    const tls = withTls();
    await using relay = await startRelay(tls);
    const env = { ...tls, PORT: new URL(relay.url).port };
    expect(await Baton.run(["health"], { env })).toEqual({ code: 0, stdout: "ok\n", stderr: "" });
    await using baton = new Baton(["subscribe", "tech", "--count", "1"], { env });
    await until("the subscription", () => relay.counts.topics > 0);
    await relay.publish("tech", "over TLS");
    expect(await baton.ended).toBe(0);
    expect(baton.lines).toMatchObject([{ data: "over TLS" }]);
    const named = await Baton.run(["health", "--url", relay.url]);
    expect([named.code, named.stderr]).toEqual([1, expect.stringContaining("NODE_EXTRA_CA_CERTS")]);
    const bare = await Baton.run(["health", "--url", relay.url.replace("https:", "http:")]);
    expect([bare.code, bare.stderr]).toEqual([1, expect.stringContaining("https://.")]);
  });

  test("ends with 1 where the relay shuts down, or nobody listens", async () => {
    await using relay = await startRelay();
    relay.running.relay.beginShutdown();
    const ending = await Baton.run(["health", "--url", relay.url]);
    expect([ending.code, ending.stderr]).toEqual([1, expect.stringContaining("is not ready")]);
    const none = await Baton.run(["health"], { env: { PORT: String(freePort()) } });
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining("No relay listens")]);
  });
});

describe("a call that fails", () => {
  test("says how to start a relay where none listens, with 3", async () => {
    const { code, stderr } = await Baton.run(["publish", "t", "m"], {
      env: { PORT: String(freePort()) },
    });
    expect(code).toBe(3);
    expect(stderr).toMatch(
      /^baton: No relay listens at http:\/\/127\.0\.0\.1:\d+\. Start one with "baton serve".*\n$/,
    );
  });

  test("says where a key is given when one is missing or wrong, and never shows one", async () => {
    await using relay = await startRelay({ BATON_API_KEYS: KEY });
    const publish = ["publish", "t", "m", "--url", relay.url];
    const missing = await Baton.run(publish);
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining("BATON_API_KEY")]);
    const wrong = await Baton.run([...publish, "--key", "the-key-of-something-else"]);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("--key")]);
    expect(wrong.stdout + wrong.stderr).not.toContain("something-else");
    expect((await Baton.run(publish, { env: { BATON_API_KEY: KEY } })).code).toBe(0);
    expect((await Baton.run(publish, { env: { BATON_API_KEYS: `${KEY},other` } })).code).toBe(0);
    expect((await Baton.run([...publish, "--key", KEY])).code).toBe(0);
  });

  test("has the words of the relay where it refuses", async () => {
    await using relay = await startRelay();
    const { code, stderr } = await Baton.run(["publish", "", "m", "--url", relay.url]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("(invalid_topic)")]);
  });

  test("says that an address is none of a relay, with 1, or none at all, with 2", async () => {
    using server = Bun.serve({ port: 0, fetch: () => new Response("hello", { status: 404 }) });
    const url = server.url.href;
    const other = await Baton.run(["publish", "t", "m", "--url", url]);
    const health = await Baton.run(["health", "--url", url]);
    for (const { code, stderr } of [other, health]) {
      expect([code, stderr]).toEqual([1, expect.stringContaining("not as a relay does")]);
    }
    const none = await Baton.run(["publish", "t", "m", "--url", "http://user:password@host"]);
    expect([none.code, none.stderr]).toEqual([2, expect.stringContaining("http:// or https://")]);
    expect(none.stderr).not.toContain("password");
  });
});
