// What a newcomer does first works word by word as README.md says it.
import { expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { SETTINGS } from "../../src/settings/definitions";
import { example, readPage } from "../support/docs/pages";
import { RecordingApp, runExample } from "../support/docs/recording-app";
import { Shell } from "../support/docs/shell";
import { Folder } from "../support/machine/folder";
import { startRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

const PAGE = "README.md";

test("the first command of README.md starts a relay, and SIGTERM ends it", async () => {
  await using shell = new Shell();
  const { process, url } = await shell.startRelay(example(PAGE, "start.sh"), { PORT: "0" });
  const health = await fetch(`${url}/health`);
  expect([health.status, await health.text()]).toEqual([200, "ok"]);
  process.kill("SIGTERM");
  expect(await process.exited).toBe(0);
}, 120_000);

test("the script of README.md registers a client, connects it and prints the message", async () => {
  await using relay = await startRelay();
  await using shell = new Shell();
  const script = example(PAGE, "minute.sh").replaceAll("http://127.0.0.1:8000", relay.url);
  const printed = await shell.run(script);
  expect(printed).toContain("received: hi\n");
  expect(printed).toContain('{"delivered":1,');
  expect(relay.counts.registrations).toBe(0);
}, 120_000);

test("the client of README.md, with the relay's own /client.js, loses nothing over a lost connection, and is told of a gap", async () => {
  // It stays away for 0.2 s, while more is published than the relay keeps.
  using _random = spyOn(Math, "random").mockReturnValue(0.2);
  await using relay = await startRelay();
  using app = new RecordingApp();
  using folder = new Folder();
  await Bun.write(join(folder.path, "client.js"), (await relay.request("GET", "/client.js")).text);
  const { connect } = await import(join(folder.path, "client.js"));
  const fetch = async () => new Response(await relay.register(1));
  const show = (data: unknown) => app.onMessage("news", data);
  const states: string[] = [];
  const given = {
    connect,
    fetch,
    show,
    reload: () => app.onLost("news"),
    showState: (state: string) => states.push(state),
  };
  const client = runExample(example(PAGE, "resuming-client.js"), given, "relay");
  const dropAll = () => {
    const { connections } = relay.running.relay;
    for (const connection of [...connections.all()]) connections.end(connection, "slow_consumer");
  };
  await until("it to be open", () => states.includes("open"));
  dropAll();
  await relay.publish("news", "missed");
  expect(await app.take(1)).toEqual(['news: "missed"']);
  dropAll();
  await relay.post("/publish", Array(101).fill({ topic: "news", message: "too many" }));
  await app.untilLost();
  client.close();
  expect(states).toEqual(["open", "connecting", "open", "connecting", "open", "closed"]);
});

test("the settings in README.md have the defaults that it says", () => {
  const rows = [...readPage(PAGE).matchAll(/^\| `([A-Z_]+)` \| (not set|`[^`]*`) \|/gm)];
  expect(rows).toHaveLength(8);
  const settings = Object.values(SETTINGS);
  for (const [, variable, shown] of rows) {
    const setting = settings.find((one) => one.variable === variable);
    const value = setting?.default === "" ? "not set" : `\`${setting?.default}\``;
    expect(shown, variable).toBe(value);
  }
});

test("README.md has the command of the tests on a line of its own, where CI finds it", () => {
  expect(readPage(PAGE)).toMatch(/^npx -y bun@[\d.]+ run test$/m);
});
