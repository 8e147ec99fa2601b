// What proxies in front of the relay say: that TLS ends there.
import { describe, expect, test } from "bun:test";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

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
