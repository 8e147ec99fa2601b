// Bodies that do not arrive. Over HTTP/2 nothing else bounds the time that they take.
import { afterEach, expect, jest, test } from "bun:test";
import { readBytes } from "../../../src/edge/http/body";

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
