// How long connections are kept between requests. That real ones live so long is in slow/faults/requests.slow.ts.
import { describe, expect, test } from "bun:test";
import type { Server } from "bun";
import { hasBody, KeepAlive } from "../../../src/edge/http/keep-alive";
import type { Connection } from "../../../src/relay/state/connection";

/** A KeepAlive, and the timeouts that it sets. */
function recorded(options: { descriptors: number; connections: number; openFiles: number }) {
  const keepAlive = new KeepAlive({
    keepAliveMs: 75_000,
    descriptors: options.descriptors,
    connectionsOpen: () => options.connections,
    openFiles: () => options.openFiles,
  });
  const seconds: number[] = [];
  const timeout = (_: Request, s: number) => seconds.push(s);
  keepAlive.attach({ timeout } as unknown as Server<Connection>);
  return { keepAlive, seconds };
}

function post(): Request {
  return new Request("http://127.0.0.1/register", { method: "POST", body: "{}" });
}

describe("a connection that is kept", () => {
  test("may be quiet for one of Bun's steps of 4 s longer than the setting, since a step may be cut short", () => {
    const { keepAlive, seconds } = recorded({ descriptors: 1_024, connections: 0, openFiles: 10 });
    keepAlive.extend(post());
    expect(seconds).toEqual([79]);
  });

  test.each([
    [{ descriptors: 1_024, connections: 0, openFiles: 512 }, true],
    [{ descriptors: 1_024, connections: 0, openFiles: 513 }, false],
    [{ descriptors: 1_024, connections: 924, openFiles: 974 }, true],
    [{ descriptors: 1_024, connections: 924, openFiles: 975 }, false],
    [{ descriptors: 1_024, connections: 0, openFiles: Number.POSITIVE_INFINITY }, false],
  ])(
    "E1: with %j it is kept for long: %p, since idle connections may take half of what clients leave",
    (counts, isKept) => {
      const { keepAlive, seconds } = recorded(counts);
      keepAlive.extend(post());
      expect(seconds.length > 0).toBe(isKept);
    },
  );

  test("is kept after a POST whose body was read, and not after one that is refused unread", async () => {
    const { keepAlive, seconds } = recorded({ descriptors: 1_024, connections: 0, openFiles: 10 });
    const unread = post();
    await keepAlive.extendAfter(unread, new Response("", { status: 415 }));
    expect(seconds).toEqual([]);
    const read = post();
    await read.text();
    await keepAlive.extendAfter(read, Promise.resolve(new Response("", { status: 422 })));
    expect(seconds).toEqual([79]);
  });
});

test.each([
  [{}, false],
  [{ "content-length": "0" }, false],
  [{ "content-length": "5" }, true],
  [{ "transfer-encoding": "chunked" }, true],
])("hasBody() of a request with %j is %p", (headers, expected) => {
  expect(hasBody(new Headers(headers as Record<string, string>))).toBe(expected);
});
