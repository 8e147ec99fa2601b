// Client libraries from npm, PyPI and the Go proxy, with the settings that docs/clients.md names: each lives through a quiet
// time, receives the largest message, and has what it missed after a restart of the relay.
import { expect, test } from "bun:test";
import { SETTINGS } from "../../../src/settings/definitions";
import { buildGoProgram, LANGUAGES, LibraryProgram } from "../../support/clients/library-program";
import { readPage } from "../../support/docs/pages";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const LIBRARIES = {
  node: ["ws", "eventsource", "undici WebSocket", "undici EventSource"],
  python: [
    "websockets",
    "websocket-client",
    "aiohttp",
    "httpx-sse",
    "httpx-sse as it is",
    "sseclient-py",
  ],
  go: [
    "gorilla/websocket",
    "coder/websocket",
    "coder/websocket as it is",
    "r3labs/sse",
    "r3labs/sse as it is",
    "tmaxmax/go-sse",
  ],
};

/** Libraries with their own limits, which say so with ?max_bytes=. */
const SIZED = ["coder/websocket as it is", "r3labs/sse as it is"];

/** Longer than the read timeout that httpx has by default, 5 s. Sockets ask for a ping every 2 s. */
const QUIET_MS = 7_000;

async function startAll(folder: string, url: string, stack: AsyncDisposableStack) {
  const commands = { ...LANGUAGES, go: await buildGoProgram(folder) };
  const programs: LibraryProgram[] = [];
  for (const [language, command] of Object.entries(commands)) {
    for (const library of LIBRARIES[language as keyof typeof LIBRARIES]) {
      if (command === undefined) continue;
      programs.push(stack.use(new LibraryProgram(command, library, url)));
    }
  }
  return programs;
}

test("docs/clients.md has a row for each library that this file runs", () => {
  for (const library of Object.values(LIBRARIES).flat()) {
    expect(readPage("docs/clients.md")).toMatch(
      new RegExp(`^\\| .*\\b${library.split(" ")[0]}\\b.* \\| `, "m"),
    );
  }
});

test("libraries with the settings of docs/clients.md live through quiet times, large messages and a restart", async () => {
  using folder = new Folder();
  await using stack = new AsyncDisposableStack();
  const env = {
    PORT: `${freePort()}`,
    BATON_ENGINE: `sqlite:${folder.path}/baton.db`,
    BATON_SHUTDOWN_MS: "500",
  };
  const relay = stack.use(await RelayProcess.start(env));
  const programs = await startAll(folder.path, relay.url, stack);
  // The relay knows of a connection before the program has printed it.
  const isThere = async () =>
    (await relay.publish("news", "there")) === programs.length &&
    programs.every(({ connections }) => connections > 0);
  await until("all to be subscribed", isThere).catch(() => {});
  const errors = programs.filter(({ connections }) => connections !== 1);
  expect(errors.map(({ library, errors }) => [library, errors])).toEqual([]);

  await Bun.sleep(QUIET_MS);
  const connections = Object.fromEntries(programs.map((one) => [one.library, one.connections]));
  expect(connections).toEqual(Object.fromEntries(programs.map(({ library }) => [library, 1])));

  const largest = "x".repeat(Number(SETTINGS.messageBytes.default));
  expect(await relay.publish("news", largest)).toBe(programs.length);
  // Nobody has closed its connection because of that message, else it would come again.
  const sized = programs.filter(({ library }) => SIZED.includes(library));
  const haveNotice = () => sized.every(({ messages }) => messages.at(-1) === "too large");
  await until("the notices of a message that is too large", haveNotice);
  expect(await relay.publish("news", "there")).toBe(programs.length);
  relay.signal("SIGTERM");
  expect(await relay.exited).toBe(0);
  const next = stack.use(await RelayProcess.start(env));
  const missed = ["one", "two", "three"];
  for (const message of missed) await next.publish("news", message);
  const haveAll = () => programs.every(({ messages }) => messages.at(-1) === missed.at(-1));
  await until("all to have what they missed", haveAll).catch(() => {});
  const received = programs.map(({ library, messages }) => {
    const texts = messages.filter((message) => message !== "there");
    return [library, texts.map((text) => (text === largest ? "the largest" : text))];
  });
  const largestAt = (library: string) => (SIZED.includes(library) ? "too large" : "the largest");
  expect(received, programs.map(({ errors }) => errors).join("\n")).toEqual(
    programs.map(({ library }) => [library, [largestAt(library), ...missed]]),
  );
});
