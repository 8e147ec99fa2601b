// The official SDKs of Centrifugo, as they come from npm and PyPI, over networks that fail.
import { expect, test } from "bun:test";
import { PythonClients } from "../../support/centrifuge/python-clients";
import { sdk, type Transport } from "../../support/centrifuge/sdk";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { type Message, publishAtRate, randomMessages } from "../../support/relay/messages";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const TOPICS = ["a", "b"];
const CLIENTS = 40;
const MESSAGES = 1_500;
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
function connectWithJournal(url: string, transport: Transport) {
  const journal = new SdkJournal();
  const client = sdk(url, transport);
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
  network.keepAll();
  return messages;
}

const textsOf = (messages: readonly Message[], topic: string): string =>
  messages
    .filter((one) => one.topic === topic)
    .map(({ message }) => message)
    .join();

test("40 clients of the JavaScript SDK receive all of 1,500 messages over a network that cuts connections at random", async () => {
  await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
  await using network = await TcpProxy.start(relay.url);
  const url = network.through(relay.url);
  const clients = Array.from({ length: CLIENTS }, (_, i) =>
    connectWithJournal(url, i % 4 === 3 ? "http_stream" : "websocket"),
  );
  const areSubscribed = () =>
    clients.every(({ journal }) => journal.subscriptions === TOPICS.length);
  await until("all clients to be subscribed", areSubscribed, 20_000);
  const messages = await publishWhileCutting(relay, network);
  const haveAll = () => clients.every(({ journal }) => journal.count >= MESSAGES);
  // What is missing after that is shown below, client by client.
  await until("all clients to have everything", haveAll, 20_000).catch(() => {});
  for (const [i, { client, journal }] of clients.entries()) {
    const name = `client ${i}, seed ${network.seed}`;
    expect(journal.faults, name).toEqual([]);
    for (const topic of TOPICS) {
      expect(journal.received.get(topic)?.join(), name).toBe(textsOf(messages, topic));
    }
    client.disconnect();
  }
  expect(network.cuts).toBeGreaterThan(100);
  expect(relay.loggedErrors).toEqual([]);
}, 60_000);

test("40 clients of the Python SDK receive all of 1,500 messages over a network that cuts connections at random", async () => {
  await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
  await using network = await TcpProxy.start(relay.url);
  const clients = Array.from({ length: CLIENTS }, () => ({}));
  const url = network.through(relay.url);
  await using pythons = new PythonClients({ url, topics: TOPICS, clients });
  const areSubscribed = () =>
    clients.every((_, i) => pythons.of(i, "subscribed").length === TOPICS.length);
  await pythons.until("all clients to be subscribed", areSubscribed, 20_000);
  const messages = await publishWhileCutting(relay, network);
  const haveAll = () => clients.every((_, i) => pythons.of(i, "publication").length >= MESSAGES);
  await pythons.until("all clients to have everything", haveAll, 20_000).catch(() => {});
  for (const i of clients.keys()) {
    const name = `client ${i}, seed ${network.seed}`;
    const publications = pythons.of(i, "publication");
    for (const topic of TOPICS) {
      const received = publications.filter((one) => one.topic === topic).map(({ data }) => data);
      expect(received.join(), name).toBe(textsOf(messages, topic));
    }
    const unrecovered = pythons
      .of(i, "subscribed")
      .filter(({ wasRecovering, recovered }) => wasRecovering && !recovered);
    const ended = [...pythons.of(i, "disconnected"), ...pythons.of(i, "unsubscribed")];
    expect([...unrecovered, ...ended], name).toEqual([]);
  }
  expect(network.cuts).toBeGreaterThan(100);
  expect(relay.loggedErrors).toEqual([]);
}, 60_000);
