// The examples of docs/clients.md for the client library run as they stand, and compile.
import { expect, spyOn, test } from "bun:test";
import { connect } from "../../../src/client/client";
import { example } from "../../support/docs/pages";
import { RecordingApp, runExample } from "../../support/docs/recording-app";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const PAGE = "docs/clients.md";

const script = (name: string): string =>
  new Bun.Transpiler({ loader: "ts" }).transformSync(example(PAGE, name));

test("the example of the library shows messages, states and losses", async () => {
  // It stays away for 0.2 s, while more is published than the relay keeps.
  using _random = spyOn(Math, "random").mockReturnValue(0.2);
  await using relay = await startRelay();
  using app = new RecordingApp();
  const states: string[] = [];
  const fetch = async () => new Response(await relay.register(1));
  const show = (data: unknown) => app.onMessage("news", data);
  const reload = () => app.onLost("news");
  const showState = (state: string) => states.push(state);
  const given = { connect, fetch, show, reload, showState };
  const [client, leave] = runExample(script("library-client.ts"), given, "[relay, leave]");
  await until("it to be open", () => states.includes("open"));
  await relay.publish("news", "first");
  expect(await app.take(1)).toEqual(['news: "first"']);
  const { connections } = relay.running.relay;
  for (const connection of [...connections.all()]) connections.end(connection, "slow_consumer");
  await relay.post("/publish", Array(101).fill({ topic: "news", message: "too many" }));
  await app.untilLost();
  leave();
  await until("it to leave", async () => (await relay.publish("news", "-")) === 0);
  client.close();
  expect(states).toEqual(["open", "connecting", "open", "closed"]);
});

test("the example with types shows what comes", async () => {
  await using relay = await startRelay();
  using app = new RecordingApp();
  const show = (id: unknown) => app.onMessage("orders", id);
  const given = { connect, relayAddress: () => relay.register(1), show };
  const client = runExample(script("typed-client.ts"), given, "relay");
  await until("it to be open", () => client.state === "open");
  await relay.post("/publish", { topic: "orders", data: { id: 7 } });
  expect(await app.take(1)).toEqual(["orders: 7"]);
  client.close();
});
