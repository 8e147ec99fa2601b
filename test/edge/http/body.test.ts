// Bodies that do not arrive. Over HTTP/2 nothing else bounds the time that they take.
import { afterEach, expect, jest, test } from "bun:test";
import { readBytes } from "../../../src/edge/http/body";
import { RawSocket } from "../../support/clients/raw-socket";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

afterEach(() => {
  jest.useRealTimers();
});

test.each([
  ["with a length", { "content-length": "10" }],
  ["in chunks", {}],
])("a body %s that has not arrived after 15 s is refused", async (_, headers) => {
  jest.useFakeTimers();
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("{")),
  });
  const request = new Request("http://127.0.0.1/publish", { method: "POST", headers, body });
  const refused = readBytes(request, 1_000);
  jest.advanceTimersByTime(14_999);
  expect(Bun.peek.status(refused)).toBe("pending");
  jest.advanceTimersByTime(1);
  const refusal = { code: "bad_request", message: "The body took longer than 15000 ms." };
  expect(await refused.catch((error) => error.refusal)).toMatchObject(refusal);
});

test.each([
  ["POST /publish, with a length", "/publish", "Content-Length: 99", "{"],
  ["POST /publish, in chunks", "/publish", "Transfer-Encoding: chunked", "1\r\n{\r\n"],
  ["POST /register", "/register", "Content-Length: 99", "{"],
  ["POST /api/publish", "/api/publish", "Content-Length: 99", "{"],
  ["POST /connection/http_stream", "/connection/http_stream", "Content-Length: 99", "{"],
])(
  "A19: a client of %s that hangs up in the middle of its body is no fault, and does not fill the log",
  async (_, path, header, half) => {
    await using relay = await startRelay();
    const { refusals } = relay.running.relay.tally;
    const raw = await RawSocket.reach(relay.url);
    // The interim answer says that its head was read.
    const lines = [`POST ${path} HTTP/1.1`, "Host: 127.0.0.1", "Expect: 100-continue", header];
    raw.write(`${lines.join("\r\n")}\r\nContent-Type: application/json\r\n\r\n${half}`);
    await raw.until("100 Continue");
    raw.drop();
    await until("the hanging up to be noticed", () => refusals.size > 0);
    expect([...refusals]).toEqual([["bad_request", 1]]);
    expect(relay.log.join("")).not.toContain("failed");
  },
);
