// The official JavaScript SDK of Centrifugo over each of its transports: when one is blocked, and when the relay shuts down.
import { expect, test } from "bun:test";
import { Centrifuge } from "centrifuge";
import { connect, recordEvents, sdk, subscribe } from "../../support/centrifuge/sdk";
import { startRelay } from "../../support/relay/test-relay";

test("a client whose first transport is blocked connects with the next one", async () => {
  await using relay = await startRelay();
  const blocked = class extends WebSocket {
    constructor() {
      super("ws://127.0.0.1:1");
    }
  };
  const some = new Centrifuge(
    [
      {
        transport: "websocket",
        endpoint: `${relay.url.replace("http", "ws")}/connection/websocket`,
      },
      { transport: "http_stream", endpoint: `${relay.url}/connection/http_stream` },
    ],
    {
      websocket: blocked,
      fetch,
      readableStream: ReadableStream,
      emulationEndpoint: `${relay.url}/emulation`,
      minReconnectDelay: 10,
    },
  );
  expect(await connect(some)).toMatchObject({ transport: "http_stream" });
  const { publications } = await subscribe(some, "a");
  await relay.publish("a", "hi");
  expect((await publications.next()).data).toBe("hi");
  some.disconnect();
});

test("a shutdown disconnects clients with 3001, and they reconnect", async () => {
  await using relay = await startRelay();
  const clients = (["websocket", "http_stream", "sse"] as const).map((transport) =>
    sdk(relay.url, transport),
  );
  const connecting = clients.map((one) => recordEvents(one, "connecting"));
  await Promise.all(clients.map(connect));
  for (const events of connecting) await events.next();
  await relay.running.shutdown();
  for (const events of connecting) {
    expect(await events.next()).toEqual({ code: 3001, reason: "shutdown" });
  }
  for (const one of clients) one.disconnect();
});
