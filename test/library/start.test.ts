// What stops an app with a relay from starting, with which sentence; where Baton's paths are; and how it ends.
import { describe, expect, test } from "bun:test";
import { cors } from "@elysiajs/cors";
import { type AnyElysia, Elysia, t } from "elysia";
import { baton, topics } from "../../src/library";
import { unreachable } from "../../src/library/host/paths";
import { EmbeddingApp } from "../support/library/embedding-app";

/** Of options that no TypeScript would let pass. */
const unchecked = (options: object) => () => baton(options as never);

describe("baton() refuses", () => {
  test.each([
    [
      { pingMs: 5 },
      'pingMs="5" is not allowed: it must be a whole number of milliseconds from 10 to',
    ],
    [{ pingMs: "25000" }, "pingMs must be an integer"],
    [{ pingms: 25_000 }, 'there is no option "pingms". Perhaps pingMs is meant.'],
    [{ port: 80 }, "port is not for a relay in another app"],
    [{ engine: "mysql://x" }, "engine="],
    [{ env: { BATON_WORKERS: "2" } }, "BATON_WORKERS is set"],
    [{ env: { BATON_PING_MS: "x" } }, 'BATON_PING_MS="x" is not allowed'],
    [{ log: console }, "log must be a function that takes a line"],
    [{ prefix: "relay/" }, 'prefix="relay/" is not allowed'],
    [{ topics: { a: t.String() } }, "topics must be what topics({ … }) returns"],
    [{ topics: topics({ "a*b": t.String() }) }, 'The topic "a*b" cannot be declared so: a * may'],
    [{ topics: topics({ "": t.String() }) }, "A topic name must not be empty"],
    [{ topics: topics({ a: t.Date() }) }, "JSON has no Date or Uint8Array"],
    [{ topics: topics({ a: t.Object({ b: t.Array(t.File()) }) }) }, "JSON has no File"],
    [{ topics: { schemas: { a: { type: "string" } } } }, "it is not a schema of TypeBox 0.34"],
    [
      { topics: topics({ a: t.Transform(t.String()).Decode(Number).Encode(String) }) },
      "a Transform has two types",
    ],
    [
      { topics: topics({ a: t.String({ format: "isbn" }) }) },
      'the format "isbn" is not registered',
    ],
  ])("%o", (options, sentence) => {
    expect(unchecked(options)).toThrow(sentence);
  });

  test("to be used twice", () => {
    const relay = baton();
    const app = new Elysia().use(relay);
    expect(() => new Elysia().use(relay)).toThrow("a relay is for one app");
    expect(() => app.use(baton())).toThrow("this app has a relay already");
  });
});

describe("listen() refuses", () => {
  const listening = (app: AnyElysia) => () => {
    app.listen({ port: 0, hostname: "127.0.0.1" });
    app.server?.stop(true);
  };

  test.each([
    ["GET /health", new Elysia().get("/health", "mine")],
    ["WS /ws/chat", new Elysia().ws("/ws/chat", {})],
    ["GET /sse/:room", new Elysia().get("/sse/:room", "mine")],
    ["ALL /publish", new Elysia().all("/publish", "mine")],
  ])("the app's own %s, which would never be reached", (route, app) => {
    expect(listening(app.use(baton()))).toThrow(`the app has ${route}, and Baton has`);
  });

  test("limits of sockets that would be those of Baton's sockets too", () => {
    const app = new Elysia({ websocket: { maxPayloadLength: 1_000 } }).use(baton());
    expect(listening(app)).toThrow("Set the option frameBytes of baton() instead.");
  });

  test("an app of which only a part uses the relay", () => {
    const part = new Elysia().use(baton());
    expect(listening(new Elysia().use(part))).toThrow("Use it on that app itself");
    const parts: ((part: AnyElysia) => AnyElysia)[] = [
      (relay) => new Elysia().group("/part", (group) => group.use(relay)),
      (relay) => new Elysia().guard({}, (guarded) => guarded.use(relay)),
    ];
    for (const using of parts) {
      const relay = baton() as unknown as AnyElysia;
      expect(() => using(relay)).toThrow("Use it on that app itself");
    }
  });

  test("to begin with a relay that comes later", async () => {
    await using running = new EmbeddingApp(new Elysia());
    expect(() => running.app.use(baton())).toThrow("Use the relay before listen()");
  });

  test("a port that another app with a relay has", async () => {
    await using first = new EmbeddingApp(new Elysia().use(baton()));
    const second = new Elysia().use(baton());
    const port = Number(new URL(first.url).port);
    expect(() => second.listen({ port, hostname: "127.0.0.1" })).toThrow("in use");
  });
});

test("an engine that does not start makes `ready` reject, and calls with it", async () => {
  const relay = baton({ engine: "sqlite:/missing/folder/baton.db" });
  await using _ = new EmbeddingApp(new Elysia().use(relay));
  expect(relay.ready).rejects.toThrow("there is no folder");
  expect(relay.publish("a", 1)).rejects.toThrow("there is no folder");
  await relay.ready.catch(() => {});
});

test("before listen() and after stop(), calls are refused", async () => {
  const relay = baton();
  const app = new Elysia().use(relay);
  expect(relay.publish("a", 1)).rejects.toMatchObject({ code: "starting" });
  await using running = new EmbeddingApp(app);
  await relay.ready;
  await running.app.stop();
  expect(relay.publish("a", 1)).rejects.toMatchObject({ code: "shutting_down" });
  expect(() => app.listen(0)).toThrow("a relay starts once");
});

test("an app that another one mounts has no relay, and says so", async () => {
  const relay = baton({ prefix: "/relay" });
  const part = new Elysia().use(relay).get("/own", () => "mine");
  await using running = new EmbeddingApp(new Elysia().mount("/part", part));
  expect(await running.get("/part/own")).toBe("mine");
  expect((await fetch(`${running.url}/part/relay`)).status).toBe(404);
  const { status, json } = await running.post("/part/relay/publish", { topic: "a", message: "x" });
  expect({ status, code: json.error.code }).toEqual({ status: 503, code: "starting" });
  expect(json.error.message).toContain("an app that another one mounts");
  expect(relay.publish("a", 1)).rejects.toMatchObject({ code: "starting" });
});

test("with a prefix, all of Baton's paths begin with it, and the app has the rest", async () => {
  const relay = baton({ prefix: "/relay", insecure: true });
  const app = new Elysia({ prefix: "/v1" }).use(relay).get("/publish", () => "mine");
  await using running = new EmbeddingApp(app);
  expect(await running.get("/v1/publish")).toBe("mine");
  const { json } = await running.post("/v1/relay/register", { user_id: 1, topics: ["a"] });
  expect(json.url).toStartWith(`ws${running.url.slice(4)}/v1/relay/ws/`);
  const client = await running.open(json.url);
  await client.settled();
  await running.post("/v1/relay/publish", { topic: "a", message: "hi" });
  expect(await client.next()).toBe("hi");
  expect(await running.get("/v1/relay/health")).toBe("ok");
  expect((await fetch(`${running.url}/health`)).status).toBe(404);
  const page = await running.get("/v1/relay/openapi");
  for (const [, path = ""] of page.matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
    expect([path, (await fetch(running.url + path)).status]).toEqual([path, 200]);
  }
});

test("the app's wider routes, and its hooks, keep what is not Baton's", async () => {
  const seen: string[] = [];
  const app = new Elysia()
    .use(cors())
    .onRequest(({ request }) => void seen.push(new URL(request.url).pathname))
    .get("/:page", ({ params }) => `page ${params.page}`)
    .get("/*", () => "any")
    .use(baton({ insecure: true }));
  await using running = new EmbeddingApp(app);
  expect(await running.get("/about")).toBe("page about");
  expect(await running.get("/a/b")).toBe("any");
  expect(await running.get("/health")).toBe("ok");
  expect(await running.get("/ws/1/2")).toBe("any");
  expect(seen).toEqual(["/about", "/a/b", "/ws/1/2"]);
});

test("stop() closes Baton's clients with 1001 over shutdownMs, and stop(true) at once", async () => {
  for (const pace of [undefined, true]) {
    const relay = baton({ shutdownMs: pace === undefined ? 20 : 60_000 });
    await using running = new EmbeddingApp(new Elysia().use(relay));
    const clients = await Promise.all(
      [1, 2, 3].map(async (user) => running.open((await relay.register({ user })).url)),
    );
    await Promise.all(clients.map((client) => client.settled()));
    await running.app.stop(pace);
    const codes = await Promise.all(clients.map(async ({ closed }) => (await closed).code));
    expect(codes).toEqual([1001, 1001, 1001]);
    expect(running.app.server).toBeNull();
  }
});

test("the log goes where the app says, and nowhere else", async () => {
  const lines: string[] = [];
  const relay = baton({ log: (line) => void lines.push(line), logLevel: "debug" });
  await using running = new EmbeddingApp(new Elysia().use(relay));
  const client = await running.open((await relay.register({ user: 1 })).url);
  await client.close();
  await running.app.stop();
  expect(lines.some((line) => line.includes('"code":1000'))).toBe(true);
});

test.each([
  ["with all that it can have", { pusherApps: ["1:key:secret"], insecure: true }],
  ["with nothing but what is always there", { console: "off" }],
] as const)("a relay %s has a path for each of its routes", async (_, options) => {
  const relay = baton(options);
  await using running = new EmbeddingApp(new Elysia().use(relay));
  // It does not start otherwise.
  await relay.ready;
  const { paths } = JSON.parse(await running.get("/openapi/json"));
  expect(Object.keys(paths).length).toBeGreaterThan(20);
});

test("what only the server of a relay of its own has is left to the app", () => {
  expect(unreachable(["/", "/*", "/health"], ["/health"])).toBeUndefined();
  expect(unreachable(["/health", "/health/live"], ["/health"])).toBe("/health/live");
});
