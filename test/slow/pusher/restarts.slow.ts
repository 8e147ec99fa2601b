// Many clients of the Pusher protocol over restarts. They come back by the clock, and what they miss while they are away is gone for them.
import { expect, test } from "bun:test";
import { PUSHER_ENV } from "../../support/pusher/app";
import { ReturningClients } from "../../support/pusher/returning-clients";

import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const CLIENTS = 1_000;
const PAUSE_MS = 50;

test("1,000 clients reconnect once in a rolling restart of four workers, none is refused, and whoever is connected gets everything in order", async () => {
  const env = { ...PUSHER_ENV, BATON_WORKERS: "4", BATON_SHUTDOWN_MS: "3000" };
  await using relay = await RelayProcess.start(env);
  using all = new ReturningClients({ url: relay.url, count: CLIENTS, channel: "news" });
  await all.subscribed();
  let published = 0;
  const publish = () => relay.post("/publish", { topic: "news", event: "n", data: ++published });
  let isRestarting = true;
  const publishing = (async () => {
    while (isRestarting) {
      await publish();
      await Bun.sleep(PAUSE_MS);
    }
  })();
  relay.signal("SIGHUP");
  await all.subscribed(2);
  isRestarting = false;
  await publishing;
  await publish();
  await until("the last event at each", () => all.clients.every(({ last }) => last === published));
  expect(all.clients.flatMap(({ faults }) => faults)).toEqual([]);
  expect(all.clients.map(({ refusals }) => refusals)).toEqual(Array(CLIENTS).fill(0));
  expect(all.clients.map(({ closes }) => closes)).toEqual(Array(CLIENTS).fill(1));
  expect(relay.loggedErrors).toEqual([]);
});
