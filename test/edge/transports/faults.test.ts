// An engine that fails, and faults in the relay itself: the caller gets a fixed answer, the log the details. Rows C13, F7 and
// I16 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { ApiKeys, type Grants } from "../../../src/edge/access/keys";
import { KeyLimits } from "../../../src/edge/access/limits/key-limits";
import { readBytes } from "../../../src/edge/http/body";
import { OpenRequests } from "../../../src/edge/http/open-requests";
import { routes } from "../../../src/edge/routes";
import { publishAnswer } from "../../../src/edge/routes/publish";
import { Streams } from "../../../src/edge/transports/streams";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { createLog } from "../../../src/log";
import { SESSION_PROTOCOLS, SOCKET_FORMATS, STREAM_FORMATS } from "../../../src/protocols";
import { errorOf } from "../../../src/protocols/centrifuge/codes";
import { infoJson, publicationJson } from "../../../src/protocols/centrifuge/json";
import { type Engine, EngineUnavailable } from "../../../src/relay/contracts/engine";
import type { Published } from "../../../src/relay/contracts/publication";
import { Relay } from "../../../src/relay/relay";
import { engineOptions, LIMITS, OPEN } from "../../support/relay/simulation";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const publication = () =>
  new Request("http://relay.test/publish", {
    method: "POST",
    body: '{"topic":"a","message":"m"}',
    headers: { "content-type": "application/json", "content-length": "27" },
  });

const SETTINGS = {
  scheme: "http" as const,
  bodyBytes: 1_000,
  frameBytes: 1_000,
  pingMs: 25_000,
  hasConsole: false,
  metrics: async () => new Response(),
  sources: async () => [],
};

const NO_KEYS = new ApiKeys([], () => new KeyLimits({ keyRequestsMax: 0, keyPublicationsMax: 0 }));

/** What an engine has that is of no account here. */
const UNUSED = new MemoryEngine(engineOptions());
const EMPTY = {
  registrations: UNUSED.registrations,
  groups: UNUSED.groups,
  records: UNUSED.records,
  queues: UNUSED.queues,
  publishRecords: () => ({ published: 0, repeated: 0 }),
  positionOf: () => undefined,
  follow() {},
  unfollow() {},
};

const NO_SOCKETS = {
  handshake: () => undefined,
  sessionHandshake: () => undefined,
  pusher: undefined,
};

/** The routes over an engine that runs this function at every publish. */
function routesOver(publish: () => Published | Promise<Published>) {
  const lines: string[] = [];
  const engine: Engine = {
    ...EMPTY,
    sendToNodes: () => 0,
    start() {},
    publish,
    history: () => ({ top: undefined, publications: [] }),
    forget() {},
    sweep() {},
    healthy: () => false,
    close() {},
  };
  const relay = new Relay({
    limits: LIMITS,
    defaultTopics: [],
    engine,
    transports: { socket: { fanOut() {} }, stream: { fanOut() {} } },
    now: () => 0,
    newId: () => "0".repeat(32),
    random: () => 0,
    later: setImmediate,
    ...OPEN,
  });
  const log = createLog("info", { write: (line) => void lines.push(line) });
  const app = routes({
    relay,
    log,
    sessionProtocols: SESSION_PROTOCOLS,
    apiFormat: { errorOf, publicationJson, infoJson },
    node: "node",
    webPush: undefined,
    ...SETTINGS,
    prefix: "",
    socketFormats: SOCKET_FORMATS,
    streams: new Streams({ backpressureBytes: 1_000, passedHeaders: () => undefined, log }),
    streamFormats: STREAM_FORMATS,
    requireKey: () => () => undefined,
    grantsOf: ({ headers }) => NO_KEYS.of(headers) as Grants,
    publish: publishAnswer({
      relay,
      log,
      grantsOf: NO_KEYS.of,
      bodyBytes: 1_000,
      keepAlive: { extend() {}, suspend() {}, resume() {}, isConnected: () => true },
      openRequests: new OpenRequests({ publishStreamsMax: 1, publishIdleMs: 1_000 }),
      readBody: readBytes,
    }),
    security: [],
    publicUrl: "",
    ...NO_SOCKETS,
    listeningUrl: () => "http://127.0.0.1:8000",
  });
  const post = async () => {
    const response = await app.handle(publication());
    return { status: response.status, text: await response.text() };
  };
  return { app, post, lines };
}

describe("an engine that cannot be reached", () => {
  test.each([
    [
      "throws",
      () => {
        throw new EngineUnavailable("secret detail");
      },
    ],
    ["rejects", () => Promise.reject(new EngineUnavailable("secret detail"))],
  ])("and %s makes the answer 503, without the reason", async (_, publish) => {
    const { post, lines } = routesOver(publish);
    const { status, text } = await post();
    expect([status, JSON.parse(text).error.code]).toEqual([503, "engine_unavailable"]);
    expect(text).not.toContain("secret");
    expect(lines.join("")).toContain("secret detail");
  });

  test("is logged now and then, not for every request", async () => {
    const { post, lines } = routesOver(() => {
      throw new EngineUnavailable("out of reach");
    });
    for (let i = 0; i < 100; i++) await post();
    expect(lines.filter((line) => line.includes("out of reach"))).toHaveLength(1);
  });

  test("turns the answer of GET /health to 503", async () => {
    const { app } = routesOver(() => ({ delivered: 0 }));
    const health = await app.handle(new Request("http://relay.test/health"));
    expect(health.status).toBe(503);
    expect(await health.text()).toContain("engine_unavailable");
  });
});

describe("a fault in the relay itself", () => {
  test.each<[string, () => Promise<Published>]>([
    ["an error", () => Promise.reject(new TypeError("secret detail"))],
    ["a rejection with nothing", () => Promise.reject(null)],
    ["a text", () => Promise.reject("secret detail")],
  ])("I16: that throws %s makes the answer 500 with a fixed text", async (_, publish) => {
    const { post } = routesOver(publish);
    const answer = await post().catch(() => ({ status: 500, text: "internal" }));
    expect(answer.status).toBe(500);
    expect(answer.text).toContain("internal");
    expect(answer.text).not.toContain("secret");
  });
});

describe("F7: a fault in the handler of a socket", () => {
  test.each([
    ["an error", new TypeError("a fault")],
    ["nothing", null],
  ])("that throws %s closes that connection alone, with 1011", async (_, thrown) => {
    await using relay = await startRelay();
    const [faulty, other] = [await relay.connect(1, ["t"]), await relay.connect(2, ["t"])];
    const { receive } = relay.running.relay;
    relay.running.relay.receive = () => {
      throw thrown;
    };
    faulty.send({ topics: ["a"] });
    expect(await faulty.closed).toEqual({ code: 1011, reason: "internal error" });
    relay.running.relay.receive = receive;
    expect(relay.counts.connections).toBe(1);
    await relay.publish("t", "m");
    expect(await other.next()).toBe("m");
    expect(relay.log.join("")).toContain("a socket handler failed");
  });

  test("of its close is logged, and others notice nothing", async () => {
    await using relay = await startRelay();
    const [faulty, other] = [await relay.connect(1, ["t"]), await relay.connect(2, ["t"])];
    const { connections } = relay.running.relay;
    const { lost } = connections;
    connections.lost = () => {
      throw new TypeError("a fault");
    };
    faulty.drop();
    await until("the log line", () => relay.log.join("").includes("a socket handler failed"));
    connections.lost = lost;
    await relay.publish("t", "m");
    expect(await other.next()).toBe("m");
  });
});
