// The example of docs/console.md: the command asks, and its answer has the members that the page shows.
import { expect, test } from "bun:test";
import { Client } from "../support/clients/client";
import { example } from "../support/docs/pages";
import { Shell } from "../support/docs/shell";
import { startRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

const PAGE = "docs/console.md";

test("the command of docs/console.md says that the user is offline, and how the last connection ended", async () => {
  await using relay = await startRelay({ BATON_API_KEYS: "a-key" });
  await using shell = new Shell();
  const headers = { "x-api-key": "a-key" };
  const { json } = await relay.post("/register", { user_id: 42, topics: ["tech"] }, headers);
  const client = await Client.open(`${json.url}?format=json`);
  client.send({ topics: ["tech"] });
  await client.next();
  await relay.post("/publish", { topic: "tech", message: "before" }, headers);
  await client.next();
  client.drop();
  await until("the client to be gone", () => relay.counts.connections === 0);
  const { epoch, offset } = (await relay.post("/publish", { topic: "tech", message: "m" }, headers))
    .json;
  const script = example(PAGE, "explain.sh")
    .replace("$RELAY", relay.url)
    .replace("$POSITION", `${epoch}:${offset}`)
    .replace("$KEY", "a-key");
  const answer = JSON.parse(await shell.run(script));
  const shown = JSON.parse(example(PAGE, "explain.json"));
  expect(Object.keys(answer)).toEqual(Object.keys(shown));
  const withoutAge = (text: string) => text.replace(/\d+ m?s ago/, "12 s ago");
  expect(withoutAge(answer.findings[0].message)).toBe(shown.findings[0].message);
  expect(answer.findings[0].action).toBe(shown.findings[0].action);
  expect(answer.verdict).toBe(shown.verdict);
  expect(Object.keys(answer.ends[0])).toEqual(Object.keys(shown.ends[0]));
});
