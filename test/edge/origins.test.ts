// Row I1 of the fault catalogue: pages of other origins open no socket.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { handshake, RawSocket } from "../support/raw";
import { startRelay, type TestRelay } from "../support/relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({ BATON_ORIGINS: "https://app.example.com,http://localhost:3000" });
});
afterAll(() => relay[Symbol.asyncDispose]());

async function connectFrom(origin?: string): Promise<number> {
  const raw = await RawSocket.open(relay.port);
  const path = new URL(await relay.register()).pathname;
  raw.write(handshake(path, origin === undefined ? [] : [`Origin: ${origin}`]));
  const head = await raw.until("\r\n\r\n");
  raw.drop();
  return Number(head.slice(9, 12));
}

describe("with a list of origins", () => {
  test.each([
    ["https://evil.example"],
    ["null"],
    ["https://app.example.com.evil.example"],
    ["https://evil.example/https://app.example.com"],
    ["https://app.example.com@evil.example"],
    ["http://app.example.com"],
    ["https://app.example.com:8443"],
    ["https://APP.example.com"],
    ["toString"],
  ])("a page of %s opens no socket", async (origin) => {
    expect(await connectFrom(origin)).toBe(403);
  });

  test.each([["https://app.example.com"], ["http://localhost:3000"]])(
    "a page of %s does",
    async (origin) => {
      expect(await connectFrom(origin)).toBe(101);
    },
  );

  test("a client that is no browser and sends no Origin does too", async () => {
    expect(await connectFrom()).toBe(101);
  });

  test("CORS names the page's origin only if it is in the list", async () => {
    const allowed = async (origin: string) =>
      (await relay.request("GET", "/health", { headers: { origin } })).headers.get(
        "access-control-allow-origin",
      );
    expect(await allowed("https://app.example.com")).toBe("https://app.example.com");
    expect(await allowed("https://evil.example")).toBeNull();
    expect(await allowed("null")).toBeNull();
  });
});
