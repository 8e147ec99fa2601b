// What a worker answers before all of them listen. That none answers so afterwards is in slow/workers/readiness.slow.ts.
import { expect, test } from "bun:test";
import { createLog } from "../../src/log";
import { start } from "../../src/node";
import { readSettings } from "../../src/settings/read";
import { reservePort } from "../../src/workers/port";
import { freePort } from "../support/machine/free-port";

const SETTINGS = readSettings({ PORT: "0" });

test("what reaches the port before any worker listens is refused with 503, Retry-After and the code `starting`, except for the question whether it is alive", async () => {
  const port = await reservePort(SETTINGS);
  for (const path of ["/health", "/health/ready", "/publish"]) {
    const answer = await fetch(`http://127.0.0.1:${port.number}${path}`);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await answer.json()).toMatchObject({ error: { code: "starting" } });
  }
  const live = await fetch(`http://127.0.0.1:${port.number}/health/live`);
  expect([live.status, await live.text()]).toEqual([200, "ok"]);
  await port.leave();
  expect(fetch(`http://127.0.0.1:${port.number}/health`)).rejects.toThrow();
});

test("F6: of several relays that reserve one port in the same moment, one has it", async () => {
  const port = freePort();
  const settings = { ...SETTINGS, port };
  const attempts = await Promise.allSettled([1, 2, 3].map(() => reservePort(settings)));
  const reserved = attempts.flatMap((attempt) =>
    attempt.status === "fulfilled" ? [attempt.value] : [],
  );
  for (const { leave } of reserved) await leave();
  expect(reserved.map(({ number }) => number)).toEqual([port]);
});

test("GET /health waits a moment for the other workers, then gets 503, and 200 once all of them serve", async () => {
  let isStarting = true;
  const log = createLog("silent");
  const node = await start(SETTINGS, log, { isStarting: () => isStarting });
  const health = async () => (await fetch(`${node.url}/health`)).status;
  const soon = health();
  expect(await health()).toBe(503);
  expect(await soon).toBe(503);
  const waiting = health();
  isStarting = false;
  expect(await waiting).toBe(200);
  expect(await health()).toBe(200);
  await node.stop();
});

test("a worker serves everything else while it waits for the others", async () => {
  const node = await start(SETTINGS, createLog("silent"), { isStarting: () => true });
  const answer = await fetch(`${node.url}/register`, {
    method: "POST",
    body: '{"user_id":1}',
    headers: { "content-type": "application/json" },
  });
  expect(answer.status).toBe(200);
  await node.stop();
});
