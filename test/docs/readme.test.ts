// What a newcomer does first works word by word as README.md says it.
import { expect, test } from "bun:test";
import { SETTINGS } from "../../src/settings/definitions";
import { example, readPage } from "../support/docs/pages";
import { Shell } from "../support/docs/shell";
import { startRelay } from "../support/relay/test-relay";

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

test("the client of README.md is the one that docs/clients.md explains", () => {
  const name = "resuming-client.js";
  expect(example(PAGE, name)).toBe(example("docs/clients.md", name));
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
