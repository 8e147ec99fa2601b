// Every client that takes deltas makes exactly the published data of them: under any sequence of publications to all, to one
// user and to all but one, of clients that join, leave, are cut off and recover, in both forms of the protocol.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { DeltaReader } from "../../support/centrifuge/delta-reader";
import { SECRET, token } from "../../support/centrifuge/sdk";
import { SessionClient } from "../../support/centrifuge/session-client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({
    BATON_TOKEN_SECRET: SECRET,
    BATON_API_KEYS: "key",
    BATON_TOPICS_FILE: topicsFile({
      "": { delta: true, join_leave: true, allow_subscribe: ["client"] },
    }),
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

interface Published {
  readonly offset: number;
  readonly user: string | undefined;
  readonly data: unknown;
}

/** A client that keeps its position, as an SDK does. */
class DeltaClient {
  readonly #user: string;
  readonly #form: "json" | "protobuf";
  readonly #topic: string;
  readonly #delta: string;
  session: SessionClient | undefined;
  isSubscribed = false;
  #reader: DeltaReader;
  #position = { offset: 0, epoch: "" };
  readonly received: unknown[] = [];
  readonly expected: unknown[] = [];
  patches = 0;

  constructor(topic: string, user: string, form: "json" | "protobuf", delta: "fossil" | "") {
    this.#topic = topic;
    this.#user = user;
    this.#form = form;
    this.#delta = delta;
    this.#reader = new DeltaReader(form);
  }

  get user(): string {
    return this.#user;
  }

  async subscribe(log: readonly Published[], recover: boolean): Promise<void> {
    if (this.isSubscribed) return;
    this.session ??= await SessionClient.connect(relay, {
      token: await token({ sub: this.#user }),
      form: this.#form,
    });
    const { subscribe } = await this.session.ask("subscribe", {
      channel: this.#topic,
      ...(this.#delta !== "" && { delta: this.#delta }),
      ...(recover && { recover, ...this.#position }),
    });
    expect(subscribe.delta).toBe(this.#delta === "" ? undefined : true);
    this.isSubscribed = true;
    const missed = log.filter(({ offset }) => offset > this.#position.offset);
    if (recover) for (const one of missed) this.#expect(one);
    this.#position = { offset: subscribe.offset ?? 0, epoch: subscribe.epoch };
    for (const publication of subscribe.publications ?? []) this.#read(publication);
    await this.read();
  }

  /** Takes what has arrived. */
  async read(): Promise<void> {
    for (const push of (await this.session?.rest()) ?? []) {
      if (push?.pub !== undefined) this.#read(push.pub);
    }
  }

  #read(publication: { data: unknown; offset: number; delta?: boolean }): void {
    this.#position.offset = publication.offset;
    const { patches } = this.#reader;
    this.received.push(this.#delta === "" ? publication.data : this.#reader.read(publication));
    this.patches += this.#reader.patches - patches;
  }

  live(one: Published): void {
    if (this.isSubscribed) this.#expect(one);
  }

  #expect({ user, data }: Published): void {
    if (user === undefined || user === this.#user) this.expected.push(data);
  }

  async leave(): Promise<void> {
    if (!this.isSubscribed) return;
    await this.session?.ask("unsubscribe", { channel: this.#topic });
    this.isSubscribed = false;
    // An SDK keeps what it had last, and its position.
  }

  /** The connection is lost. An SDK forgets nothing. */
  cut(): void {
    this.session?.drop();
    this.session = undefined;
    this.isSubscribed = false;
  }
}

const text = fc.array(
  fc.constantFrom("a", "é", "ē", "😀", "😁", '"', "\\", "\n", "\u2028", "long enough to copy "),
  {
    maxLength: 12,
  },
);
const edit = fc.record({ at: fc.nat({ max: 39 }), to: text.map((parts) => parts.join("")) });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("publish" as const),
      edits: fc.array(edit, { maxLength: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("other" as const),
      value: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value))),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("to user" as const),
      user: fc.constantFrom("ann", "bob"),
      edits: fc.array(edit, { maxLength: 2 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("except" as const),
      client: fc.nat({ max: 4 }),
      edits: fc.array(edit, { maxLength: 2 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom("join" as const, "leave" as const, "cut" as const, "recover" as const),
      client: fc.nat({ max: 4 }),
    }),
  },
);

let topics = 0;
let patches = 0;

test("each client makes exactly the published data of what it is sent", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const topic = `topic ${++topics}`;
      const clients = [
        new DeltaClient(topic, "ann", "json", "fossil"),
        new DeltaClient(topic, "ann", "protobuf", "fossil"),
        new DeltaClient(topic, "bob", "json", "fossil"),
        new DeltaClient(topic, "bob", "json", ""),
        new DeltaClient(topic, "bob", "protobuf", ""),
      ] as const;
      const log: Published[] = [];
      const document = Array.from({ length: 40 }, (_, i) => `entry ${i} of the document`);
      const publish = async (data: unknown, rest: { user_id?: string; except?: string }) => {
        const answer = await relay.post(
          "/publish",
          { topic, data, ...rest },
          { "x-api-key": "key" },
        );
        expect(answer.status).toBe(200);
        const one = { offset: log.length + 1, user: rest.user_id, data };
        log.push(one);
        for (const client of clients)
          if (client.session?.id !== rest.except || rest.except === undefined) client.live(one);
        for (const client of clients) await client.read();
      };
      await clients[0].subscribe(log, false);
      for (const one of steps) {
        if (one.kind === "other") await publish(one.value, {});
        else if ("edits" in one) {
          for (const { at, to } of one.edits) document[at] = to;
          const user_id = one.kind === "to user" ? one.user : undefined;
          const except = one.kind === "except" ? clients[one.client]?.session?.id : undefined;
          await publish(document.slice(), {
            ...(user_id && { user_id }),
            ...(except && { except }),
          });
        } else {
          const client = clients[one.client] as DeltaClient;
          if (one.kind === "join") await client.subscribe(log, false);
          else if (one.kind === "recover") await client.subscribe(log, true);
          else if (one.kind === "leave") await client.leave();
          else client.cut();
        }
      }
      for (const client of clients) {
        expect(client.received).toEqual(client.expected);
        patches += client.patches;
        client.cut();
      }
    }),
    { numRuns: 30 },
  );
  expect(patches).toBeGreaterThan(20);
}, 120_000);
