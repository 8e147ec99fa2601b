// The log: what users send cannot forge a line, no line has a secret, and messages are not logged. Rows I3 and I4 of the
// fault catalogue.
import { expect, spyOn, test } from "bun:test";
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { createLog, LogOutput, throttledLog } from "../src/log";
import { sanitized } from "../src/relay/text/visible";
import { SECRET, token } from "./support/centrifuge/sdk";
import { Folder } from "./support/machine/folder";
import { freePort } from "./support/machine/free-port";
import { idOf, startRelay } from "./support/relay/test-relay";
import { until } from "./support/wait";

test("I4: sanitized() leaves nothing that moves a cursor, breaks a line or turns the reading direction", () => {
  const evil = "a\r\n\u001b[2J\u0085\u009b\u2028\u2029\u202e\u2066b\ud800";
  const text = sanitized(evil);
  expect(text).toMatch(/^[\x20-\x7e\ufffd]+$/);
  expect(text).toContain("\\u001b[2J");
  expect(sanitized("x".repeat(10_000)).length).toBeLessThan(210);
});

test("I4: a log line is one JSON object, whatever it contains", () => {
  const lines: string[] = [];
  const log = createLog("info", { write: (line) => void lines.push(line) });
  log.info({ user: sanitized('"}\n{"level":60,"msg":"forged') }, "something");
  expect(lines).toHaveLength(1);
  expect(lines[0]?.trimEnd()).not.toContain("\n");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: 30, msg: "something" });
});

test("an error that goes on for a day is logged less and less often, at last once a minute, and at once again after a quiet time", () => {
  const counts: (number | undefined)[] = [];
  const write = (line: string) => void counts.push(JSON.parse(line).more);
  const logError = throttledLog(createLog("info", { write }), "it fails");
  let seconds = 0;
  using _ = spyOn(performance, "now").mockImplementation(() => 1_000 * seconds);
  for (; seconds < 86_400; seconds += 0.5) logError(new Error("no"));
  expect(counts.slice(0, 4)).toEqual([undefined, 1, 3, 7]);
  expect(counts.length).toBeLessThan(1_450);
  expect(counts.at(-1)).toBe(119);
  seconds += 120;
  counts.length = 0;
  for (const _ of [1, 2, 3]) {
    logError(new Error("no"));
    seconds += 1;
  }
  expect(counts).toHaveLength(3);
});

test("messages, registrations and connections are not logged at the default level", async () => {
  await using relay = await startRelay({ BATON_LOG_LEVEL: "info" });
  const client = await relay.connect();
  for (let i = 0; i < 100; i++) await relay.publish("tech", "secret");
  client.send("garbage");
  await client.take(101);
  await client.close();
  expect(relay.log).toEqual([]);
});

test("I4: a closed connection is logged at debug level, with its user escaped", async () => {
  await using relay = await startRelay({ BATON_LOG_LEVEL: "debug" });
  const client = await relay.connect("evil\u202e\u2028user");
  await client.close();
  await until("the line", () => relay.log.length > 0);
  const line = JSON.parse(relay.log[0] ?? "");
  expect(line).toMatchObject({
    msg: "connection closed",
    user: "evil\\u202e\\u2028user",
    code: 1000,
  });
});

test("I3: no id that opens a connection, no session's secret, no token and no key is ever logged", async () => {
  const key = "a-long-enough-api-key";
  const headers = { "x-api-key": key };
  await using relay = await startRelay({
    BATON_LOG_LEVEL: "trace",
    BATON_API_KEYS: key,
    BATON_TOKEN_SECRET: SECRET,
  });
  const secrets = [key];
  for (const format of ["", "?format=json"]) {
    const { url } = (await relay.post("/register", { user_id: 1 }, headers)).json;
    secrets.push(idOf(url));
    const client = await relay.open(url + format);
    for (const connection of relay.running.relay.connections.all()) {
      relay.running.relay.connections.end(connection, "slow_consumer");
    }
    await client.closed;
  }
  const { sse } = (await relay.post("/register", { user_id: 1 }, headers)).json;
  secrets.push(idOf(sse));
  await (await fetch(sse)).body?.cancel();
  const good = await token({ sub: "42" });
  const bad = `${good}x`;
  secrets.push(good.slice(-20));
  for (const one of [good, bad]) {
    const commands = encodeURIComponent(`{"id":1,"connect":{"token":"${one}"}}`);
    const stream = await fetch(`${relay.url}/connection/sse?cf_connect=${commands}`);
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
    let text = "";
    while (!text.includes("data:")) text += new TextDecoder().decode((await reader.read()).value);
    const secret = /"session":"(\w+)"/.exec(text)?.[1];
    if (secret !== undefined) secrets.push(secret);
    await reader.cancel();
  }
  await until("all closes to be logged", () => relay.log.length >= 5);
  expect(secrets).toHaveLength(6);
  for (const secret of secrets) expect(relay.log.join("")).not.toContain(secret);
});

/** A reader of the log that is behind until it is told to catch up. */
class SlowReader {
  readonly read: string[] = [];
  readonly #written: string[] = [];
  #caughtUp = Promise.withResolvers<number>();

  write(line: string): void {
    this.#written.push(line);
  }

  flush(): Promise<number> {
    return this.#caughtUp.promise;
  }

  async catchUp(): Promise<void> {
    const { resolve } = this.#caughtUp;
    this.#caughtUp = Promise.withResolvers();
    this.read.push(...this.#written.splice(0));
    resolve(0);
    await nextTurn();
  }
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test("F13: what a reader of the log does not read waits up to 1 MiB, the rest is dropped, and the log says how much", async () => {
  const reader = new SlowReader();
  const log = new LogOutput(() => reader);
  const line = `${"x".repeat(1_023)}\n`;
  for (let i = 0; i < 1_100; i++) log.write(line);
  await reader.catchUp();
  // The first one went out before it was known that nobody reads.
  expect(reader.read).toEqual(Array.from({ length: 1_025 }, () => line));
  log.write("after\n");
  await reader.catchUp();
  const [missing = "", ...rest] = reader.read.slice(1_025);
  expect(JSON.parse(missing)).toMatchObject({ level: 40, lines: 75 });
  expect(rest).toEqual(["after\n"]);
});

test("F13: a reader of the log that goes away or a full disk are borne", () => {
  const fail = () => {
    throw new Error("EPIPE: broken pipe");
  };
  const log = new LogOutput(() => ({ write: fail, flush: fail }));
  for (let i = 0; i < 3; i++) log.write("a line\n");
});

test("F13: a relay whose log nobody reads goes on, and ends when it is told to", async () => {
  using folder = new Folder();
  const fifo = join(folder.path, "log");
  expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
  // It is open for reading, too, so the relay's writes do not fail.
  const unread = openSync(fifo, constants.O_RDWR);
  const port = await freePort();
  const main = join(import.meta.dir, "../src/main.ts");
  const env = { ...process.env, PORT: String(port), BATON_LOG_LEVEL: "debug" };
  const relay = Bun.spawn([process.execPath, main], { env, stdout: unread });
  const url = `http://127.0.0.1:${port}`;
  const isUp = async () => (await fetch(`${url}/health`).catch(() => undefined))?.ok === true;
  await until("the relay to listen", isUp);
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const headers = { "content-type": "application/json", traceparent };
  // Each has a line of its own, and a pipe has room for some 300 of them.
  const items = Array.from({ length: 500 }, () => ({ topic: "a", message: "m" }));
  for (let i = 0; i < 10; i++) {
    const body = JSON.stringify(items);
    const answer = await fetch(`${url}/publish`, { method: "POST", headers, body });
    expect(answer.status).toBe(200);
  }
  relay.kill("SIGTERM");
  expect(await relay.exited).toBe(0);
  closeSync(unread);
});
