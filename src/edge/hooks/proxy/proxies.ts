// Asks the backend over HTTP what the relay wants to know, in the requests and answers of Centrifugo's proxy, so that a backend that was
// written for it needs no change. What cannot be asked is refused for now, or let in, as the settings say.
import type { Log } from "../../../log";
import {
  type AskingClient,
  type Denial,
  Dismissal,
  type PassedHeaders,
  type PublishGrant,
  type QuestionKind,
  type Questions,
  type RenewalAnswer,
} from "../../../relay/contracts/backend/questions";
import type { Introduction } from "../../../relay/contracts/commands";
import { Refusal } from "../../../relay/contracts/errors";
import type { Protocol } from "../../../relay/contracts/protocol";
import type { ConnectionClaims, TopicClaims } from "../../../relay/contracts/tokens";
import { sanitized } from "../../../relay/text/visible";
import { AnswerReader, Malformed } from "./answers";
import {
  type BodySettings,
  bodyOf,
  bodyWithoutClient,
  introductionTexts,
  type Wire,
} from "./bodies";
import { BackendCalls, type CallLimits, type Failure, UNWANTED } from "./calls";
import { emulatedHeaders, type HeaderSettings, passedHeaders, sentHeaders } from "./headers";
import { ProxyLog } from "./proxy-log";
import { ProxyTally } from "./proxy-tally";
import { RecentAnswers } from "./recent-answers";

interface ProxySettings extends CallLimits, HeaderSettings, BodySettings {
  /** The addresses; "": nobody is asked. */
  readonly proxyConnect: string;
  readonly proxyRefresh: string;
  readonly proxyFailure: "refuse" | "admit";
  /** What a status other than 200 means, as the JSON text of an answer. */
  readonly proxyStatusAnswers: Readonly<Record<number, string>>;
  /** How long an answer to a connect counts for others with the same credentials. */
  readonly proxyShareMs: number;
}

interface ProxiesOptions {
  readonly settings: ProxySettings;
  /** How clients of a protocol are connected. */
  readonly wireOf: (protocol: Protocol) => Wire;
  readonly log: Log;
}

/** A question as it goes out. */
interface Asked {
  readonly kind: QuestionKind;
  readonly url: string;
  readonly client: AskingClient;
  /** What of the body is the same for all clients that say the same. */
  readonly rest: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** How long a client may be told to wait before it tries again. */
const RETRY_S = 1;

/** With one of these, whoever asks shows who it is. Without one, the backend may make a user up for each client that asks. */
const CREDENTIALS = ["authorization", "cookie"] as const;

/** Who is let in while the backend cannot be asked. */
const ANONYMOUS: ConnectionClaims = { user: "", ttl: undefined, topics: new Map() };

export class Proxies implements Questions {
  #settings: ProxySettings;
  readonly #wireOf: ProxiesOptions["wireOf"];
  readonly #log: ProxyLog;
  readonly #calls: BackendCalls;
  readonly #recent = new RecentAnswers<string | Failure>(() => performance.now());
  /** The headers that clients' programs give in place of real ones, of connections that have any. */
  readonly #emulated = new WeakMap<AskingClient, PassedHeaders>();
  readonly tally: ProxyTally;

  constructor({ settings, wireOf, log }: ProxiesOptions) {
    this.#settings = settings;
    this.#wireOf = wireOf;
    this.#log = new ProxyLog(log);
    this.#calls = new BackendCalls(settings);
    this.tally = new ProxyTally(this.#calls);
  }

  get asksConnect(): boolean {
    return this.#settings.proxyConnect !== "";
  }

  get asksRefresh(): boolean {
    return this.#settings.proxyRefresh !== "";
  }

  /** Takes new settings; what is being asked goes on as it was. */
  replace(settings: ProxySettings): void {
    this.#settings = settings;
    this.#calls.limit(settings);
  }

  /** What a connection keeps of the headers of the request that opens it. */
  readonly passedHeaders = (headers: Headers): PassedHeaders | undefined =>
    passedHeaders(headers, this.#settings);

  async connect(
    client: AskingClient,
    introduction: Introduction,
    topics: readonly string[],
  ): Promise<ConnectionClaims | Denial | undefined> {
    const { headers: given, data } = introduction;
    const emulated = emulatedHeaders(given, this.#settings);
    if (emulated !== undefined) this.#emulated.set(client, emulated);
    const asked = this.#asked("connect", this.#settings.proxyConnect, client, {
      texts: introductionTexts(introduction, client.user),
      channels: topics.length === 0 ? undefined : topics,
      data,
    });
    return this.#answer<ConnectionClaims | undefined>(
      asked,
      (reader) => reader.connect(),
      () => ANONYMOUS,
    );
  }

  async refresh(client: AskingClient): Promise<RenewalAnswer> {
    const { user } = client;
    const asked = this.#asked("refresh", this.#settings.proxyRefresh, client, { texts: { user } });
    return this.#renewal(asked, "expired");
  }

  async refreshTopic(client: AskingClient, to: string, topic: string): Promise<RenewalAnswer> {
    const texts = { user: client.user, channel: topic };
    return this.#renewal(this.#asked("sub_refresh", to, client, { texts }), "never");
  }

  async subscribe(
    client: AskingClient,
    to: string,
    { topic, data }: Parameters<Questions["subscribe"]>[2],
  ): Promise<TopicClaims | Denial> {
    const { user } = client;
    const asked = this.#asked("subscribe", to, client, { texts: { user, channel: topic }, data });
    return this.#answer<TopicClaims>(
      asked,
      (reader) => reader.subscribe(user, topic),
      () => ({ user, topic, ttl: undefined }),
    );
  }

  async publish(
    client: AskingClient,
    to: string,
    { topic, data }: Parameters<Questions["publish"]>[2],
  ): Promise<PublishGrant | Denial> {
    const texts = { user: client.user, channel: topic };
    const asked = this.#asked("publish", to, client, { texts, data });
    return this.#answer<PublishGrant>(
      asked,
      (reader) => reader.publish(),
      () => ({}),
    );
  }

  async call(
    client: AskingClient,
    to: string,
    { method, data }: Parameters<Questions["call"]>[2],
  ): ReturnType<Questions["call"]> {
    const texts = { user: client.user, method: method || undefined };
    const asked = this.#asked("rpc", to, client, { texts, data });
    return this.#answer(asked, (reader) => reader.call(), undefined);
  }

  #asked(
    kind: QuestionKind,
    url: string,
    client: AskingClient,
    parts: Omit<Parameters<typeof bodyWithoutClient>[1], "wire" | "settings">,
  ): Asked {
    const settings = this.#settings;
    const wire = this.#wireOf(client.protocol);
    const rest = bodyWithoutClient(client, { ...parts, wire, settings });
    const headers = sentHeaders(client.headers, this.#emulated.get(client), settings);
    return { kind, url, client, rest, headers };
  }

  /** `admitted` is what is granted while nobody can be asked, if the settings say so; undefined: nothing ever is. */
  async #answer<Granted extends object | undefined>(
    asked: Asked,
    read: (reader: AnswerReader) => Granted | Denial | Malformed,
    admitted: (() => Granted) | undefined,
  ): Promise<Granted | Denial> {
    const answer = await this.#read(asked, read);
    if (answer instanceof Malformed) return this.#unavailable(asked.kind);
    if (!isFailure(answer)) {
      const isRefused = answer instanceof Refusal || answer instanceof Dismissal;
      this.tally.answered(asked.kind, isRefused ? "refused" : "granted");
      return answer;
    }
    if (this.#settings.proxyFailure === "admit" && answer.isPassing && admitted !== undefined)
      return admitted();
    if (answer.reason === "busy") {
      return new Refusal(
        "backend_busy",
        "Too many questions wait for the backend. Try again in a moment.",
        RETRY_S,
      );
    }
    return this.#unavailable(asked.kind);
  }

  async #renewal(asked: Asked, never: "expired" | "never"): Promise<RenewalAnswer> {
    const answer = await this.#read(asked, (reader) => reader.renewal(never));
    if (answer instanceof Malformed || isFailure(answer)) return "unanswered";
    this.tally.answered(asked.kind, answer === "expired" ? "refused" : "granted");
    return answer;
  }

  async #read<Answer>(
    asked: Asked,
    read: (reader: AnswerReader) => Answer | Malformed,
  ): Promise<Answer | Malformed | Failure> {
    const { kind, url } = asked;
    const text = await this.#text(asked);
    if (isFailure(text)) {
      // Whoever has gone has not failed.
      if (text === UNWANTED) return text;
      this.tally.failed(kind, text.reason);
      this.#log.failed(kind, url, text.why);
      return text;
    }
    const reader = new AnswerReader(text, Date.now(), (name) => this.#log.ignored(kind, name));
    const answer = read(reader);
    if (answer instanceof Malformed) {
      this.tally.failed(kind, "answer");
      this.#log.failed(kind, url, `its answer ${sanitized(answer.why)}`);
    }
    return answer;
  }

  /** Of many that show the same credentials in the same moment, one is asked about. */
  #text(asked: Asked): Promise<string | Failure> {
    const { kind, url, rest, headers } = asked;
    const { proxyShareMs } = this.#settings;
    const isShared =
      kind === "connect" &&
      proxyShareMs > 0 &&
      CREDENTIALS.some((name) => Object.hasOwn(headers, name) && !this.#isStatic(name));
    if (!isShared) return this.#call(asked);
    const question = JSON.stringify([url, rest, headers]);
    const found = this.#recent.find(question, proxyShareMs);
    if (found !== undefined) {
      this.tally.answered(kind, "shared");
      return found;
    }
    const answer = this.#call(asked, () => true);
    this.#recent.keep(question, proxyShareMs, answer, (come) =>
      isFailure(come) ? undefined : come.length,
    );
    return answer;
  }

  #isStatic(name: string): boolean {
    return Object.hasOwn(this.#settings.proxyStaticHeaders, name);
  }

  async #call(asked: Asked, isWanted = () => isThere(asked.client)): Promise<string | Failure> {
    const { kind, url, client, rest, headers } = asked;
    const began = performance.now();
    const answer = await this.#calls.call({ url, headers, body: bodyOf(client, rest), isWanted });
    this.tally.took(kind, (performance.now() - began) / 1_000);
    if (!isFailure(answer) || answer.status === undefined || isRenewal(kind)) return answer;
    return this.#settings.proxyStatusAnswers[answer.status] ?? answer;
  }

  #unavailable(kind: QuestionKind): Refusal {
    return new Refusal(
      "backend_unavailable",
      `The backend could not be asked about this (${kind}). Try again in a moment.`,
      RETRY_S,
    );
  }
}

/** Its client would not be told of an error or a disconnect, so neither is an answer. */
function isRenewal(kind: QuestionKind): boolean {
  return kind === "refresh" || kind === "sub_refresh";
}

/** A registered client has no session, and is asked about before it is connected. */
function isThere({ protocol, session }: AskingClient): boolean {
  return protocol.kind === "topics" || session !== undefined;
}

function isFailure(answer: unknown): answer is Failure {
  return typeof answer === "object" && answer !== null && "isPassing" in answer;
}
