// The official SDKs of Centrifugo in both forms of the protocol, as they come from npm, PyPI, the Go proxy and Maven Central,
// over networks that fail.
import { expect, test } from "bun:test";
import { sdk, type Wire } from "../../support/centrifuge/sdk";
import { canRun, SDKS, sdkCommands } from "../../support/centrifuge/sdk-builds";
import { SdkProgram } from "../../support/centrifuge/sdk-program";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { type Message, publishAtRate, randomMessages } from "../../support/relay/messages";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const commandOf = sdkCommands();

const TOPICS = ["a", "b"];
const CLIENTS = 40;
const MESSAGES = 900;
const PER_SECOND = 300;

/** What one client received of each topic, and what must never happen. */
class SdkJournal {
  readonly received = new Map<string, string[]>(TOPICS.map((topic) => [topic, []]));
  readonly faults: string[] = [];
  /** How often it was subscribed. */
  subscriptions = 0;

  get count(): number {
    return [...this.received.values()].reduce((sum, list) => sum + list.length, 0);
  }
}

/** Connects a client of the JavaScript SDK that keeps a journal. */
function connectWithJournal(url: string, wire: Wire) {
  const journal = new SdkJournal();
  const client = sdk(url, wire);
  for (const topic of TOPICS) {
    const subscription = client.newSubscription(topic);
    subscription.on("publication", ({ data }) => journal.received.get(topic)?.push(data));
    subscription.on("subscribed", ({ wasRecovering, recovered }) => {
      journal.subscriptions++;
      if (wasRecovering && !recovered) journal.faults.push(`not recovered: ${topic}`);
    });
    subscription.on("unsubscribed", ({ code }) => journal.faults.push(`unsubscribed: ${code}`));
    subscription.subscribe();
  }
  client.on("disconnected", ({ code }) => journal.faults.push(`disconnected: ${code}`));
  client.connect();
  return { client, journal };
}

/** Publishes at the usual rate while the network cuts connections at random. */
async function publishWhileCutting(relay: RelayProcess, network: TcpProxy): Promise<Message[]> {
  const messages = randomMessages(MESSAGES, { topics: TOPICS, random: network.random });
  network.cutEach(20, 800);
  await publishAtRate(relay, messages, PER_SECOND);
  await network.untilCut(100);
  return messages;
}

const textsOf = (messages: readonly Message[], topic: string): string =>
  messages
    .filter((one) => one.topic === topic)
    .map(({ message }) => message)
    .join();

test.each([
  ["JSON", "websocket", "http_stream"],
  ["protobuf", "websocket in protobuf", "http_stream in protobuf"],
] as const)(
  "40 clients of the JavaScript SDK in %s receive all of 900 messages over a network that cuts connections at random",
  async (_, most, others) => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
    await using network = await TcpProxy.start(relay.url);
    const url = network.through(relay.url);
    const clients = Array.from({ length: CLIENTS }, (_, i) =>
      connectWithJournal(url, i % 4 === 3 ? others : most),
    );
    const areSubscribed = () =>
      clients.every(({ journal }) => journal.subscriptions === TOPICS.length);
    await until("all clients to be subscribed", areSubscribed);
    const messages = await publishWhileCutting(relay, network);
    const haveAll = () => clients.every(({ journal }) => journal.count >= MESSAGES);
    // What is missing after that is shown below, client by client.
    await until("all clients to have everything", haveAll).catch(() => {});
    for (const [i, { client, journal }] of clients.entries()) {
      const name = `client ${i}, seed ${network.seed}`;
      expect(journal.faults, name).toEqual([]);
      for (const topic of TOPICS) {
        expect(journal.received.get(topic)?.join(), name).toBe(textsOf(messages, topic));
      }
      client.disconnect();
    }
    expect(relay.loggedErrors).toEqual([]);
  },
);

test.each(SDKS.filter(([name]) => canRun(name)))(
  "40 clients of %s in %s receive all of 900 messages over a network that cuts connections at random",
  async (name, form) => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
    await using network = await TcpProxy.start(relay.url);
    const clients = Array.from({ length: CLIENTS }, () => ({}));
    const options = { url: network.through(relay.url), topics: TOPICS, clients, form };
    await using program = new SdkProgram(commandOf(name), options);
    const areSubscribed = () =>
      clients.every((_, i) => program.of(i, "subscribed").length === TOPICS.length);
    await program.until("all clients to be subscribed", areSubscribed);
    const messages = await publishWhileCutting(relay, network);
    const haveAll = () => clients.every((_, i) => program.of(i, "publication").length >= MESSAGES);
    await program.until("all clients to have everything", haveAll).catch(() => {});
    for (const i of clients.keys()) expectAll(program, i, messages, network.seed);
    expect(relay.loggedErrors).toEqual([]);
  },
);

/** A client has everything, once and in order, and recovered each time. */
function expectAll(
  program: SdkProgram,
  client: number,
  messages: readonly Message[],
  seed: number,
): void {
  const last = JSON.stringify(program.events.filter((one) => one.client === client).slice(-8));
  const name = `client ${client}, seed ${seed}, its last events ${last}`;
  const publications = program.of(client, "publication");
  for (const topic of TOPICS) {
    const received = publications.filter((one) => one.topic === topic).map(({ data }) => data);
    expect(received.join(), name).toBe(textsOf(messages, topic));
  }
  const unrecovered = program
    .of(client, "subscribed")
    .filter(({ wasRecovering, recovered }) => wasRecovering && !recovered);
  const ended = [...program.of(client, "disconnected"), ...program.of(client, "unsubscribed")];
  expect([...unrecovered, ...ended], name).toEqual([]);
}
