// Official SDKs that take deltas, in both forms of the protocol: documents of 100 KB of which little changes, through a proxy
// that counts the bytes and cuts connections. The Java SDK has no deltas.
import { expect, test } from "bun:test";
import { Centrifuge } from "centrifuge";
import { Centrifuge as BinaryCentrifuge } from "centrifuge/build/protobuf";
import { canRun, SDKS, type SdkName, sdkCommands } from "../../support/centrifuge/sdk-builds";
import { SdkProgram } from "../../support/centrifuge/sdk-program";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { topicsFile } from "../../support/relay/topics-file";
import { until } from "../../support/wait";

const commandOf = sdkCommands();

const TOPIC = "board";
const CLIENTS = 4;
/** Documents that are published before connections are cut, and after. */
const COUNTED = 30;
const CUT = 60;

/** A document that changes: texts of several scripts, some 100 KB of JSON. */
class Document {
  readonly #entries: string[];
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
    this.#entries = Array.from(
      { length: 1_500 },
      (_, i) => `Größe ${i} — 大きさ 😀 "${"é".repeat(i % 30)}"`,
    );
  }

  /** The JSON text of the next version: eight entries, about 200 bytes, are others. */
  next(): string {
    for (let i = 0; i < 8; i++) {
      const at = Math.floor(this.#random() * this.#entries.length);
      this.#entries[at] = `changed → ${Math.floor(this.#random() * 2 ** 31)} 😁`;
    }
    return JSON.stringify(this.#entries);
  }
}

/** Clients of one SDK that are subscribed with deltas. */
interface DeltaClients extends AsyncDisposable {
  /** What a client has received, as JSON texts. */
  received(client: number): string[];
  /** How much that is. */
  count(client: number): number;
  subscriptions(client: number): number;
  /** What must not happen to any of them. */
  faults(): unknown[];
  until(what: string, isMet: () => boolean): Promise<void>;
}

/** Clients in a program of their own. */
class ProgramClients implements DeltaClients {
  readonly #program: SdkProgram;

  constructor(name: SdkName, form: "json" | "protobuf", url: string) {
    const clients = Array.from({ length: CLIENTS }, () => ({}));
    const options = { url, topics: [TOPIC], clients, form, delta: true };
    this.#program = new SdkProgram(commandOf(name), options);
  }

  received(client: number): string[] {
    return this.#program.of(client, "publication").map(({ data }) => JSON.stringify(data));
  }

  count(client: number): number {
    return this.#program.of(client, "publication").length;
  }

  subscriptions(client: number): number {
    return this.#program.of(client, "subscribed").length;
  }

  faults(): unknown[] {
    return this.#program.events.filter(
      ({ event, wasRecovering, recovered }) =>
        event === "disconnected" || event === "unsubscribed" || (wasRecovering && !recovered),
    );
  }

  until(what: string, isMet: () => boolean): Promise<void> {
    return this.#program.until(what, isMet);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]();
  }
}

/** Clients of the JavaScript SDK, in this process. */
class ScriptClients implements DeltaClients {
  readonly #clients: (Centrifuge | BinaryCentrifuge)[] = [];
  readonly #received: string[][] = [];
  readonly #subscriptions: number[] = [];
  readonly #faults: unknown[] = [];

  constructor(form: "json" | "protobuf", url: string) {
    for (let i = 0; i < CLIENTS; i++) this.#open(i, form, url);
  }

  #open(i: number, form: "json" | "protobuf", url: string): void {
    const Client = form === "json" ? Centrifuge : BinaryCentrifuge;
    const client = new Client(`${url.replace("http", "ws")}/connection/websocket`, {
      websocket: WebSocket,
      minReconnectDelay: 10,
      maxReconnectDelay: 50,
    });
    const received: string[] = [];
    const subscription = client.newSubscription(TOPIC, { delta: "fossil" });
    subscription.on("publication", ({ data }) => {
      received.push(form === "json" ? JSON.stringify(data) : new TextDecoder().decode(data));
    });
    subscription.on("subscribed", ({ wasRecovering, recovered }) => {
      this.#subscriptions[i] = this.subscriptions(i) + 1;
      if (wasRecovering && !recovered) this.#faults.push("not recovered");
    });
    subscription.on("unsubscribed", (event) => this.#faults.push(event));
    client.on("disconnected", (event) => this.#faults.push(event));
    subscription.subscribe();
    client.connect();
    this.#clients.push(client);
    this.#received.push(received);
  }

  received(client: number): string[] {
    return this.#received[client] as string[];
  }

  count(client: number): number {
    return this.received(client).length;
  }

  subscriptions(client: number): number {
    return this.#subscriptions[client] ?? 0;
  }

  faults(): unknown[] {
    return this.#faults;
  }

  until(what: string, isMet: () => boolean): Promise<void> {
    return until(what, isMet);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.disconnect();
  }
}

const KINDS: [string, "json" | "protobuf", (url: string) => DeltaClients][] = [
  ["centrifuge (JavaScript)", "json", (url) => new ScriptClients("json", url)],
  ["centrifuge (JavaScript)", "protobuf", (url) => new ScriptClients("protobuf", url)],
];
for (const [name, form] of SDKS) {
  if (name === "centrifuge-java" || !canRun(name)) continue;
  KINDS.push([name, form, (url) => new ProgramClients(name, form, url)]);
}

test.each(KINDS)(
  "%s in %s with deltas receives each document exactly, once and in order, also over lost connections, and in 2%% of the bytes without",
  async (_, __, open) => {
    await using relay = await RelayProcess.start({
      BATON_MESSAGE_BYTES: "200000",
      BATON_TOPICS_FILE: topicsFile({ "": { delta: true } }),
    });
    await using network = await TcpProxy.start(relay.url);
    await using clients = open(network.through(relay.url));
    const all = Array.from({ length: CLIENTS }, (_, i) => i);
    const areSubscribed = () => all.every((i) => clients.subscriptions(i) > 0);
    await clients.until("all to be subscribed", areSubscribed);

    const document = new Document(network.random);
    const published: string[] = [];
    const publish = async () => {
      const text = document.next();
      published.push(text);
      const body = { topic: TOPIC, data: JSON.parse(text) };
      expect((await relay.post("/publish", body)).status).toBe(200);
    };
    const haveAll = () => all.every((i) => clients.count(i) >= published.length);

    await publish();
    await clients.until("the first document, whole", haveAll);
    const before = network.bytesToClients;
    for (let i = 0; i < COUNTED; i++) await publish();
    await clients.until("the documents", haveAll);
    const whole = CLIENTS * COUNTED * Buffer.byteLength(published[0] as string);
    expect(whole).toBeGreaterThan(CLIENTS * COUNTED * 90_000);
    expect((network.bytesToClients - before) / whole).toBeLessThan(0.02);

    for (let i = 0; i < CUT; i++) {
      const answer = publish();
      if (i % 2 === 0) network.cutOne();
      await answer;
      const hasOne = () => all.some((client) => clients.count(client) >= published.length);
      await clients.until("a client to have the document", hasOne);
    }
    // What is missing after that is shown below, client by client.
    await clients.until("all to have everything", haveAll).catch(() => {});
    for (const i of all) {
      const name = `client ${i}, seed ${network.seed}`;
      const received = clients.received(i);
      const wrong = received.findIndex((text, at) => text !== published[at]);
      expect([received.length, wrong], name).toEqual([published.length, -1]);
    }
    expect(network.cuts).toBeGreaterThan(CUT / 4);
    expect(clients.faults()).toEqual([]);
    expect(relay.loggedErrors).toEqual([]);
  },
);
