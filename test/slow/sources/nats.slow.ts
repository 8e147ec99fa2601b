// What only a NATS server does to a source.
import { expect, test } from "bun:test";
import { NatsServer } from "../../support/brokers/nats-server";
import { startRelay } from "../../support/relay/test-relay";
import { NatsStream } from "../../support/sources/nats-stream";
import { sourcesFile } from "../../support/sources/sources-file";
import { until } from "../../support/wait";

const MEGABYTE = 1_048_576;

test("a message as large as the server takes is buried too, shortened, and does not stop those behind it", async () => {
  await using server = await NatsServer.start(MEGABYTE);
  await using stream = await NatsStream.make(server);
  await using relay = await startRelay({
    BATON_SOURCES_FILE: sourcesFile({ orders: stream.declaration }),
  });
  const client = await relay.connect(1, ["t"]);
  await stream.addPoison("x".repeat(MEGABYTE));
  await stream.add([{ topic: "t", message: "behind it" }]);
  expect(await client.next()).toBe("behind it");
  await until("the dead letter", async () => (await stream.deadLetters()).length === 1);
  expect(await stream.deadLetters()).toEqual([
    { code: "malformed_json", record: "x".repeat(4_096) },
  ]);
});
