// The example of docs/centrifugo.md works as it stands.
import { expect, test } from "bun:test";
import { example } from "../support/docs/pages";
import { Shell } from "../support/docs/shell";
import { startRelay } from "../support/relay/test-relay";

test("the curl command of docs/centrifugo.md publishes", async () => {
  await using relay = await startRelay();
  await using shell = new Shell();
  const client = await relay.connect(1, ["news"]);
  const script = example("docs/centrifugo.md", "api-publish.sh");
  const answer = await shell.run(script.replaceAll("http://127.0.0.1:8000", relay.url));
  expect(JSON.parse(answer)).toEqual({ result: { offset: 1, epoch: expect.any(String) } });
  expect(await client.next()).toBe('{"n":1}');
});
