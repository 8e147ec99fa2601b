// Requests that stay open: how many there may be, and when one of them has been silent for too long.
import { expect, test } from "bun:test";
import { OpenRequests } from "../../../src/edge/http/open-requests";
import { until } from "../../support/wait";

/** Adds a request that was last read from at this time. */
function add(requests: OpenRequests, readAt: number, lineBegunAt?: number) {
  const request = {
    readAt,
    lineBegunAt,
    isGone: false,
    ended: 0,
    end: () => void request.ended++,
    drop: () => requests.remove(request),
  };
  requests.add(request);
  return request;
}

test("no more requests may be open than the setting says, until one of them has ended or its sender is gone", () => {
  const requests = new OpenRequests({ publishStreamsMax: 2, publishIdleMs: 60_000 });
  const first = add(requests, performance.now());
  expect(requests.hasRoom()).toBe(true);
  const second = add(requests, performance.now());
  expect(requests.hasRoom()).toBe(false);
  requests.remove(first);
  expect(requests.hasRoom()).toBe(true);
  add(requests, performance.now());
  expect(requests.hasRoom()).toBe(false);
  second.isGone = true;
  expect(requests.hasRoom()).toBe(true);
});

test("a request that has been silent for too long is dropped, and one that has sent something meanwhile is not", async () => {
  const requests = new OpenRequests({ publishStreamsMax: 9, publishIdleMs: 500 });
  const busy = add(requests, performance.now());
  add(requests, performance.now());
  busy.readAt += 60_000;
  await until("the silent request to be dropped", () => requests.size === 1);
  requests.remove(busy);
});

test("a request whose line does not end is dropped, though bytes of it still come", async () => {
  const requests = new OpenRequests({ publishStreamsMax: 9, publishIdleMs: 3_600_000 });
  const now = performance.now();
  const busy = add(requests, now, now);
  add(requests, now, now - 10_000);
  await until("the slow request to be dropped", () => requests.size === 1);
  requests.remove(busy);
});

test("all open requests are ended at a shutdown, and those that have ended before are not", () => {
  const requests = new OpenRequests({ publishStreamsMax: 2, publishIdleMs: 60_000 });
  const first = add(requests, 0);
  const second = add(requests, 0);
  requests.remove(first);
  requests.endAll();
  expect([first.ended, second.ended]).toEqual([0, 1]);
  requests.remove(second);
});
