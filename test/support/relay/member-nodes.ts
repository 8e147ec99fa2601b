// Nodes that have members of topics and nothing else, over an engine that they share through pipes: what is in a pipe arrives
// when the test wants it.
import { MemoryEngine } from "../../../src/engines/memory/engine";
import type { Member, MemberPush } from "../../../src/relay/contracts/commands";
import { Refusal } from "../../../src/relay/contracts/errors";
import type { Protocol } from "../../../src/relay/contracts/protocol";
import { Connection } from "../../../src/relay/state/connection";
import { Members, type Membership } from "../../../src/relay/topics/members";
import { EngineClient } from "../../../src/workers/engine-client";
import { EngineServer, type WorkerLink } from "../../../src/workers/engine-server";
import type { FromEngine, ToEngine } from "../../../src/workers/messages";
import type { Pipe } from "../../../src/workers/pipe";
import { engineOptions } from "./simulation";

/** A protocol in which members are told. */
const TELLING = {
  name: "telling",
  kind: "session",
  encodeMember: (push: MemberPush) => JSON.stringify(push),
} as unknown as Protocol;

/** A connection that becomes a member, and the list that its client has: the first one, and what it was pushed. */
export class Observer {
  readonly connection: Connection;
  readonly member: Member;
  /** "entering": its list has not come yet. "listed": it has one, but is not subscribed. */
  state: "entering" | "listed" | "subscribed" | "refused" | "gone" = "entering";
  membership: Membership | undefined;
  readonly list = new Map<string, string | undefined>();
  /** What a client should never see. */
  readonly faults: string[] = [];

  constructor(id: string, member: Member) {
    this.connection = new Connection({ id, user: member.user, term: 0 }, TELLING);
    this.member = member;
  }

  take({ kind, member: { user, info } }: MemberPush): void {
    const isAdded = kind === "memberAdded";
    if (isAdded === this.list.has(user)) this.faults.push(`${kind} ${user}`);
    if (isAdded) this.list.set(user, info);
    else this.list.delete(user);
  }
}

export class MemberNode {
  readonly name: string;
  readonly members: Members;
  readonly observers = new Set<Observer>();
  readonly client: EngineClient;
  readonly link: WorkerLink;
  readonly toServer: ToEngine[] = [];
  readonly toClient: FromEngine[] = [];
  /** Changes of groups, which over Redis come on a connection of their own. */
  readonly changes: FromEngine[] = [];
  readonly #server: EngineServer;
  readonly #topic: string;
  #later: (() => void)[] = [];
  #timers: (() => void)[] = [];
  readonly #endListeners: ((connection: Connection) => void)[] = [];

  constructor(server: EngineServer, name: string, topic: string, membersMax: number) {
    this.name = name;
    this.#server = server;
    this.#topic = topic;
    const pipe = {
      push: (message: FromEngine) => {
        ("groupChanged" in message ? this.changes : this.toClient).push(message);
      },
      pushText: (text: string) => this.toClient.push(JSON.parse(text)),
      unacknowledgedSize: 0,
    };
    this.client = new EngineClient({
      send: (message) => this.toServer.push(message),
      isFull: () => false,
      now: () => 0,
    });
    this.link = server.connect(name, pipe as unknown as Pipe);
    this.members = new Members(
      {
        engine: this.client,
        limits: { membersMax, memberInfoBytes: 1_024 },
        later: (work) => this.#later.push(work),
        after: (_, work) => {
          this.#timers.push(work);
          return () => {
            this.#timers = this.#timers.filter((other) => other !== work);
          };
        },
      },
      {
        onEnd: (listener) => this.#endListeners.push(listener),
        send: (connection, frame) => {
          for (const observer of this.observers) {
            if (observer.connection === connection) observer.take(JSON.parse(String(frame)));
          }
          return true;
        },
      },
      undefined,
      (push) => {
        for (const observer of this.observers) {
          if (observer.state === "subscribed") observer.take(push);
        }
      },
    );
    void this.client.start({
      deliver: () => 0,
      historyReset() {},
      registrationRevoked() {},
      messageReceived() {},
      groupsUnsure() {},
      groupChanged: (change) => this.members.groupChanged(change),
    });
  }

  get isIdle(): boolean {
    const waits =
      this.toServer.length + this.toClient.length + this.changes.length + this.#later.length;
    return waits === 0;
  }

  enter(observer: Observer): void {
    this.observers.add(observer);
    this.members.enter(observer.connection, this.#topic, observer.member).then(
      (entered) => this.#entered(observer, entered),
      () => {},
    );
  }

  /** As a relay does: the reply has the list. */
  #entered(observer: Observer, entered: Membership | Refusal): void {
    if (observer.state === "gone") return;
    if (entered instanceof Refusal) {
      observer.state = "refused";
      return;
    }
    observer.membership = entered;
    const list = this.members.listFor(observer.connection, entered);
    for (const [user, info] of list?.members ?? []) observer.list.set(user, info);
    if (!observer.list.has(observer.member.user)) observer.faults.push("is not in its own list");
    observer.state = "listed";
  }

  subscribe(observer: Observer): void {
    observer.state = "subscribed";
    this.members.subscribed(observer.connection, this.#topic);
  }

  /** The connection ends. */
  end(observer: Observer): void {
    observer.state = "gone";
    this.observers.delete(observer);
    for (const listener of this.#endListeners) listener(observer.connection);
  }

  /** Lets some of what is in the pipes arrive, and then a turn of the event loop end. */
  async work(messages: number, changes: number): Promise<void> {
    for (const message of this.toServer.splice(0, messages)) {
      this.#server.receive(this.link, message);
    }
    for (const message of this.toClient.splice(0, messages)) this.client.receive(message);
    for (const message of this.changes.splice(0, changes)) this.client.receive(message);
    await new Promise(setImmediate);
    for (const work of this.#later.splice(0)) work();
    await new Promise(setImmediate);
  }

  /** Lets time pass: what waited for an answer asks again. */
  ring(): void {
    for (const work of this.#timers.splice(0)) work();
  }
}

export function memberServer(now = () => 0): EngineServer {
  const engine = new MemoryEngine(engineOptions({ now }));
  const server = new EngineServer(engine);
  engine.start(server.events);
  return server;
}
