// Every reverse proxy with the configuration that docs/proxies.md shows, in front of a real relay, with every kind of client.
import { describe, expect, test } from "bun:test";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { Clients, post, publish, TOPIC } from "../../support/proxies/clients";
import { isReloadable, type ProxyName, ReverseProxy } from "../../support/proxies/reverse-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** The examples of the page. */
const CONFIGURATIONS: Record<ProxyName, string> = {
  nginx: "nginx.conf",
  HAProxy: "haproxy.cfg",
  Caddy: "Caddyfile",
  Apache: "apache.conf",
  lighttpd: "lighttpd.conf",
  Varnish: "baton.vcl",
  Envoy: "envoy.yaml",
};
const NAMES = Object.keys(CONFIGURATIONS) as ProxyName[];

/** Those that miss nothing when their connection is lost. */
const RESUMING = { json: 1, stream: 1, websocket: 1, http_stream: 1, sse: 1 };

/** Less than the time between two pings of the relay, which push out what a proxy holds back. */
const LATE_MS = 15_000;

const startProxy = (name: ProxyName, relay: RelayProcess): Promise<ReverseProxy> =>
  ReverseProxy.start(name, CONFIGURATIONS[name], relay.port);

/** As many bytes as a body may have, in messages that are as large as they may be. */
function fullBatch(): { topic: string; message: string }[] {
  const message = "x".repeat(64_000);
  const batch = Array.from({ length: 16 }, () => ({ topic: TOPIC, message }));
  const bytes = Buffer.byteLength(JSON.stringify(batch));
  const last = { topic: TOPIC, message: "" };
  last.message = "y".repeat(1024 * 1024 - bytes - Buffer.byteLength(JSON.stringify(last)) - 1);
  return [...batch, last];
}

describe.each(NAMES)("%s as docs/proxies.md configures it", (name) => {
  test("serves every kind of client, in time, with large bodies and every topic", async () => {
    await using relay = await RelayProcess.start();
    await using proxy = await startProxy(name, relay);
    using clients = new Clients(proxy.url);
    const { url, sse } = await clients.register();
    expect(url).toStartWith(proxy.url.replace("http", "ws"));
    expect(sse).toStartWith(proxy.url);
    await clients.connect({ ...RESUMING, plain: 1, EventSource: 1 });
    await clients.subscribed();
    const all: string[] = [];
    for (let i = 0; i < 5; i++) {
      await publish(proxy.url, `m${i}`);
      all.push(`m${i}`);
      const inTime = () => clients.without(all).length === 0;
      await until("all to have it", inTime, LATE_MS).catch(() => {});
      expect(clients.without(all)).toEqual([]);
    }
    const batch = fullBatch();
    expect((await post(`${proxy.url}/publish`, batch)).status).toBe(200);
    all.push(...batch.map(({ message }) => message));
    await until("the batch", () => clients.without(all).length === 0).catch(() => {});
    expect(clients.without(all)).toEqual([]);
    const path = `/topics/${encodeURIComponent(TOPIC)}/history?limit=1`;
    const history = await fetch(proxy.url + path);
    expect(await history.json()).toMatchObject({ publications: [{ data: expect.anything() }] });
    const unknown = await fetch(`${proxy.url}/ws/unknown`);
    expect([unknown.status, await unknown.json()]).toMatchObject([404, { error: {} }]);
  });
});

describe.each(NAMES.filter(isReloadable))("%s as docs/proxies.md configures it", (name) => {
  test("gets a new configuration, and clients that resume lose nothing", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using proxy = await startProxy(name, relay);
    using clients = new Clients(proxy.url);
    await clients.connect(RESUMING);
    await clients.subscribed();
    const all: string[] = [];
    let reloaded: Promise<void> | undefined;
    for (let i = 0; i < 60; i++) {
      if (i === 20) reloaded = proxy.reload();
      await publish(proxy.url, `m${i}`);
      all.push(`m${i}`);
      await Bun.sleep(25);
    }
    await reloaded;
    await until("all of it", () => clients.without(all).length === 0).catch(() => {});
    expect(clients.without(all)).toEqual([]);
  });
});

test("nginx as docs/proxies.md configures it keeps an EventSource alive while the relay is away", async () => {
  using folder = new Folder();
  const env = {
    PORT: `${freePort()}`,
    BATON_ENGINE: `sqlite:${folder.path}/baton.db`,
    BATON_SHUTDOWN_MS: "200",
  };
  const relay = await RelayProcess.start(env);
  await using proxy = await startProxy("nginx", relay);
  using clients = new Clients(proxy.url);
  await clients.connect({ EventSource: 1 });
  await clients.subscribed();
  relay.signal("SIGTERM");
  expect(await relay.exited).toBe(0);
  const away = await fetch(`${proxy.url}/sse/any`);
  expect([away.status, await away.text()]).toEqual([200, "retry: 2000\n\n"]);
  expect((await fetch(`${proxy.url}/health`)).status).toBe(502);
  // Long enough for the client to try while nobody is there.
  await Bun.sleep(2_500);
  await using next = await RelayProcess.start(env);
  await publish(next.url, "missed");
  const hasIt = () => clients.without(["missed"]).length === 0;
  await until("the EventSource to have what it missed", hasIt);
});
