// A proxy that gets a new configuration while 200 clients of four kinds receive a stream of publications through it.
import { expect, test } from "bun:test";
import { Clients, publish } from "../../support/proxies/clients";
import { ReverseProxy } from "../../support/proxies/reverse-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const EACH = 50;
const MESSAGES = 90;

test.each([
  ["nginx", "nginx.conf"],
  ["HAProxy", "haproxy.cfg"],
  ["Caddy", "Caddyfile"],
] as const)(
  "%s is reloaded under 200 clients, and each has every message once and in order, also those that cannot resume",
  async (name, configuration) => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using proxy = await ReverseProxy.start(name, configuration, relay.port);
    using clients = new Clients(proxy.url);
    await clients.connect({ plain: EACH, json: EACH, websocket: EACH, EventSource: EACH });
    await clients.subscribed();
    const all: string[] = [];
    const publishNext = async (): Promise<void> => {
      await publish(proxy.url, `m${all.length}`);
      all.push(`m${all.length}`);
    };
    while (all.length < MESSAGES / 3) await publishNext();
    let isReloaded = false;
    const reloaded = proxy.reload().then(() => {
      isReloaded = true;
    });
    while (!isReloaded || all.length < MESSAGES) await publishNext();
    await reloaded;
    await until("all of it", () => clients.without(all).length === 0).catch(() => {});
    expect(clients.without(all)).toEqual([]);
  },
);
