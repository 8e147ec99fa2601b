// The examples of docs/command-line.md: what one command publishes, the other prints.
import { expect, test } from "bun:test";
import { example } from "../support/docs/pages";
import { Shell } from "../support/docs/shell";
import { startRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

const PAGE = "docs/command-line.md";

test("the commands of docs/command-line.md publish and print what it shows", async () => {
  await using relay = await startRelay();
  await using shell = new Shell();
  const env = { BATON_URL: relay.url };
  const subscriber = shell.start(example(PAGE, "subscribe.sh"), env);
  await until("the subscription", () => relay.counts.topics > 0);
  await shell.run(example(PAGE, "publish.sh"), env);
  const lines = () => subscriber.output.split("\n").slice(0, -1);
  await until("three lines", () => lines().length === 3);
  const shown = example(PAGE, "received.ndjson").trim().split("\n");
  const { epoch } = JSON.parse(lines()[0] ?? "");
  expect(lines()).toEqual(shown.map((line) => line.replace("kqzvbmwe", epoch)));
});

test("the load of docs/command-line.md prints what it shows, with other times", async () => {
  await using relay = await startRelay();
  await using shell = new Shell();
  const printed = await shell.run(example(PAGE, "bench.sh"), { BATON_URL: relay.url });
  const withoutTimes = (text: string) =>
    text
      .trim()
      .replace(/-[\da-f]{8}/, "-NAME")
      .replace(/[\d.]+(?= (?:ms|a second))/g, "N");
  expect(withoutTimes(printed)).toBe(withoutTimes(example(PAGE, "bench.txt")));
});
