// What only a NATS server does to a source.
import { expect, test } from "bun:test";
import { startRelay } from "../../support/relay/test-relay";
import { NatsStream } from "../../support/sources/nats-stream";
import { sourcesFile } from "../../support/sources/sources-file";
import { until } from "../../support/wait";

const MEGABYTE = 1_048_576;

test("a message as large as the server takes is buried too, shortened, and does not stop those behind it", async () => {
  await using server = await NatsStream.start(MEGABYTE);
  await using relay = await startRelay({
    BATON_SOURCES_FILE: sourcesFile({ orders: server.declaration }),
  });
  const client = await relay.connect(1, ["t"]);
  await server.addPoison("x".repeat(MEGABYTE));
  await server.add([{ topic: "t", message: "behind it" }]);
  expect(await client.next()).toBe("behind it");
  await until("the dead letter", async () => (await server.deadLetters()).length === 1);
  expect(await server.deadLetters()).toEqual([
    { code: "malformed_json", record: "x".repeat(4_096) },
  ]);
});
