// Whose address the relay sees through each proxy as docs/proxies.md configures it: the client's, whatever that writes itself.
import { describe, expect, test } from "bun:test";
import { post } from "../../support/proxies/clients";
import { type ProxyName, ReverseProxy } from "../../support/proxies/reverse-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { idOf } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

/** The address that the client connects from. The proxy is at 127.0.0.1, which the relay trusts. */
const CLIENT = "127.0.0.2";

const FORGED = [undefined, "203.0.113.9", "203.0.113.9, 127.0.0.1"];

/** A WebSocket of this address that says that it has the request from somebody else. */
function openFrom(address: string, url: string, forwarded: string | undefined): Bun.Subprocess {
  const headers = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ...(forwarded === undefined ? [] : [`X-Forwarded-For: ${forwarded}`]),
  ];
  const command = ["curl", "-sN", "--http1.1", "--interface", address].concat(
    headers.flatMap((header) => ["-H", header]),
    url,
  );
  return Bun.spawn(command, { stdout: "ignore", stderr: "ignore" });
}

interface Closed {
  readonly msg: string;
  readonly address?: string;
}

describe.each<[ProxyName, string]>([
  ["nginx", "nginx.conf"],
  ["HAProxy", "haproxy.cfg"],
  ["Caddy", "Caddyfile"],
  ["Apache", "apache.conf"],
  ["lighttpd", "lighttpd.conf"],
  ["Varnish", "baton.vcl"],
  ["Envoy", "envoy.yaml"],
])("%s", (name, configuration) => {
  test("tells the relay who its clients are, and a client cannot choose", async () => {
    const env = { BATON_TRUSTED_PROXIES: "127.0.0.1", BATON_LOG_LEVEL: "debug" };
    await using relay = await RelayProcess.start(env);
    await using proxy = await ReverseProxy.start(name, configuration, relay.port);
    for (const [index, forwarded] of FORGED.entries()) {
      const answer = await post(`${proxy.url}/register`, { user_id: index });
      const { url } = (await answer.json()) as { url: string };
      const client = openFrom(CLIENT, url.replace("ws:", "http:"), forwarded);
      const isOpen = async () => {
        const connections = await fetch(`${relay.url}/users/${index}/connections`);
        return (await connections.text()).includes(idOf(url));
      };
      await until("the client to connect", isOpen);
      await fetch(`${relay.url}/register/${idOf(url)}`, { method: "DELETE" });
      await client.exited;
      const closed = () =>
        (relay.lines as Closed[]).filter(({ msg }) => msg === "connection closed");
      await until("its line in the log", () => closed().length > index);
      expect(closed().at(-1)?.address, `X-Forwarded-For: ${forwarded}`).toBe(CLIENT);
    }
  });
});
