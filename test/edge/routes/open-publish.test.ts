// POST /publish with lines in a request that stays open: when it is read, when it is ended, and what is lost then.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createLog } from "../../../src/log";
import { start } from "../../../src/node";
import { readSettings } from "../../../src/settings/read";
import { AsyncEngine } from "../../support/engines/async-engine";
import { OpenPublish } from "../../support/relay/open-publish";
import { engineOptions } from "../../support/relay/simulation";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { until, within } from "../../support/wait";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay();
});
afterAll(() => relay[Symbol.asyncDispose]());

const LINES = { "content-type": "application/x-ndjson" };

describe("a request that publishes lines and stays open", () => {
  test("is answered while it is open, and its connection is used again afterwards", async () => {
    const client = await relay.connect(1, ["open"]);
    const open = await OpenPublish.open(relay.port);
    for (const message of ["a", "b", "c"]) {
      open.publish("open", message);
      expect((await open.next()).delivered).toBe(1);
      expect(await client.next()).toBe(message);
    }
    open.send('{"topic":"open","mess');
    open.send('age":"in two pieces"}\n');
    expect((await open.next()).offset).toBe(4);
    open.end();
    await open.ended();
    open.raw.write("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    await open.raw.until("200 OK");
    open.raw.drop();
  });

  test("loses nothing that was answered when its connection breaks, and half a line is not published", async () => {
    const client = await relay.connect(1, ["broken"]);
    const open = await OpenPublish.open(relay.port);
    open.publish("broken", "whole");
    await open.next();
    open.send('{"topic":"broken","message":"ha');
    open.raw.reset();
    await until("the relay to see the end", () => relay.running.openRequests.size === 0);
    await relay.publish("broken", "next");
    expect(await client.take(2)).toEqual(["whole", "next"]);
  });

  test("is not read any further while its publisher reads no answers", async () => {
    const open = await OpenPublish.open(relay.port);
    open.raw.pause();
    // Each answer is longer than its line, so that the answers fill the kernel's buffers first.
    const lines = "1\n".repeat(30_000);
    for (let i = 0; i < 200; i++) open.send(lines);
    let last = -1;
    await until("the relay to stop reading", async () => {
      const waiting = open.raw.waitingBytes;
      const isStill = waiting > 0 && waiting === last;
      last = waiting;
      await Bun.sleep(50);
      return isStill;
    });
    open.raw.drop();
    await until("its end", () => relay.running.openRequests.size === 0);
  });

  test("is refused when too many are open, while a body of known length is published", async () => {
    await using small = await startRelay({ BATON_PUBLISH_STREAMS_MAX: "1" });
    const first = await OpenPublish.open(small.port);
    first.publish("few", "m");
    await first.next();
    const second = await OpenPublish.open(small.port);
    expect(await second.refusal("429")).toBe("too_many_streams");
    const body = '{"topic":"few","message":"m"}\n'.repeat(2);
    expect((await small.request("POST", "/publish", { body, headers: LINES })).status).toBe(200);
    first.end();
    await first.ended();
    const third = await OpenPublish.open(small.port);
    third.publish("few", "m");
    expect((await third.next()).offset).toBe(4);
    for (const { raw } of [first, second, third]) raw.drop();
  });

  test("is ended when a line of it comes a byte at a time, and its end does not", async () => {
    await using impatient = await startRelay({ BATON_PUBLISH_IDLE_MS: "1000" });
    const open = await OpenPublish.open(impatient.port);
    open.publish("idle", "m");
    expect((await open.next()).offset).toBe(1);
    let isOpen = true;
    void open.raw.closed.then(() => (isOpen = false));
    await until("the request to be ended", () => {
      open.send(" ");
      return !isOpen;
    });
    await until("the relay to forget it", () => impatient.running.openRequests.size === 0);
  });

  test("is ended when it has been silent for as long as the setting says", async () => {
    await using impatient = await startRelay({ BATON_PUBLISH_IDLE_MS: "1000" });
    const open = await OpenPublish.open(impatient.port);
    open.publish("idle", "m");
    await open.next();
    await within("the relay to end it", open.raw.closed);
    await until("the relay to forget it", () => impatient.running.openRequests.size === 0);
  });
});

describe("at a shutdown, a request that publishes lines", () => {
  test("has each further line refused with its code, and is ended", async () => {
    await using ending = await startRelay();
    const open = await OpenPublish.open(ending.port);
    open.publish("end", "m");
    expect((await open.next()).offset).toBe(1);
    ending.running.relay.beginShutdown();
    open.send('{"topic":"end","message":"m"}\n{"topic":"end","message":"m"}\n');
    for (const line of [2, 3]) {
      expect(await open.next()).toMatchObject({ error: { code: "shutting_down" }, line });
    }
    await open.ended();
    const late = await OpenPublish.open(ending.port);
    expect(await late.refusal("503")).toBe("shutting_down");
    for (const { raw } of [open, late]) raw.drop();
  });

  test("is ended when it sends nothing", async () => {
    await using ending = await startRelay();
    const open = await OpenPublish.open(ending.port);
    open.publish("end", "m");
    await open.next();
    const shutdown = ending.running.shutdown();
    await open.ended();
    await shutdown;
  });
});

describe("with an engine that answers later, lines", () => {
  async function startSlow(env: Record<string, string> = {}) {
    const waiting: (() => void)[] = [];
    const engine = new AsyncEngine(engineOptions(), (what) =>
      what === "publish" ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(),
    );
    const settings = readSettings({ PORT: "0", BATON_SHUTDOWN_MS: "50", ...env });
    const running = await start(settings, createLog("silent"), { engine });
    return { running, waiting, port: Number(new URL(running.url).port) };
  }

  test("are answered in their order, whatever the order in which the engine answers", async () => {
    const { running, waiting, port } = await startSlow();
    const open = await OpenPublish.open(port);
    open.send(
      '{"topic":"a","message":"1"}\n{"topic":"b","message":"2"}\nnope\n{"topic":"c","message":"3"}\n',
    );
    await until("three publications", () => waiting.length === 3);
    for (const resolve of waiting.reverse()) resolve();
    const answers = [await open.next(), await open.next(), await open.next(), await open.next()];
    expect(answers.map(({ offset, line }) => offset ?? `line ${line}`)).toEqual([
      1,
      1,
      "line 3",
      1,
    ]);
    open.raw.drop();
    await running.stop();
  });

  test("wait for it, instead of being refused, when it is BATON_PENDING_BYTES behind", async () => {
    const { running, waiting, port } = await startSlow({ BATON_PENDING_BYTES: "65536" });
    const open = await OpenPublish.open(port);
    const COUNT = 300;
    open.send('{"topic":"slow","message":"m"}\n'.repeat(COUNT));
    open.end();
    // Each counts 512 bytes and its text.
    await until("as many as there is room for", () => waiting.length > 100);
    expect(waiting.length).toBeLessThan(140);
    const answering = setInterval(() => waiting.splice(0).forEach((resolve) => void resolve()), 1);
    for (let i = 1; i <= COUNT; i++) expect((await open.next()).offset).toBe(i);
    clearInterval(answering);
    await open.ended();
    open.raw.drop();
    await running.stop();
  });
});
