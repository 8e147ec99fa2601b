// What load balancers and proxies in front of the relay ask and say: health checks of every form, and TLS that ends there.
import { describe, expect, test } from "bun:test";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

describe("whatever a load balancer asks to learn whether the relay can serve", () => {
  const probe = async (port: number, line: string, ...lines: string[]) => {
    const socket = await RawSocket.open(port);
    socket.write([line, ...lines, "", ""].join("\r\n"));
    const head = await socket.until("\r\n\r\n");
    socket.drop();
    return Number(head.slice(9, 12));
  };

  test("is answered with 503 during a shutdown, and a preflight is not", async () => {
    await using closing = await startRelay();
    closing.running.relay.beginShutdown();
    const host = "Host: relay.test";
    for (const method of ["GET", "HEAD", "OPTIONS"]) {
      for (const path of ["/", "/health"]) {
        expect(await probe(closing.port, `${method} ${path} HTTP/1.1`, host)).toBe(503);
        expect(await probe(closing.port, `${method} ${path} HTTP/1.0`)).toBe(503);
      }
    }
    const preflight = [host, "Origin: https://a.test", "Access-Control-Request-Method: GET"];
    expect(await probe(closing.port, "OPTIONS /health HTTP/1.1", ...preflight)).toBe(204);
  });
});

describe("a relay behind a proxy that ends TLS", () => {
  const warnings = ({ log }: TestRelay) =>
    log.filter((line) => JSON.parse(line).level === 40 && line.includes("BATON_PUBLIC_URL"));
  const register = (relay: TestRelay, headers: Record<string, string>) =>
    relay.post("/register", { user_id: 1 }, headers);

  test.each([
    ["x-forwarded-proto", "https"],
    ["x-forwarded-proto", "HTTPS, http"],
    ["x-forwarded-scheme", "https"],
    ["x-forwarded-ssl", "on"],
    ["forwarded", "for=192.0.2.60;proto=https;by=203.0.113.43"],
    ["forwarded", 'for="[2001:db8::1]";proto="https", for=10.0.0.1;proto=http'],
  ])(
    "says once that BATON_PUBLIC_URL is missing, and believes nothing: %s: %s",
    async (...pair) => {
      await using unset = await startRelay();
      for (let i = 0; i < 3; i++) {
        const { json } = await register(unset, Object.fromEntries([pair]));
        expect(json.sse).toStartWith("http://127.0.0.1:");
      }
      expect(warnings(unset)).toHaveLength(1);
    },
  );

  test.each([
    ["x-forwarded-proto", "http, https"],
    ["x-forwarded-proto", "httpsx"],
    ["forwarded", "for=192.0.2.60;proto=http, proto=https"],
    ["x-forwarded-host", "https"],
  ])("says nothing where clients do not use https: %s: %s", async (...pair) => {
    await using unset = await startRelay();
    await register(unset, Object.fromEntries([pair]));
    expect(warnings(unset)).toEqual([]);
  });

  test("says nothing once BATON_PUBLIC_URL is set", async () => {
    await using set = await startRelay({ BATON_PUBLIC_URL: "https://relay.example.com" });
    await register(set, { "x-forwarded-proto": "https" });
    expect(warnings(set)).toEqual([]);
  });
});
