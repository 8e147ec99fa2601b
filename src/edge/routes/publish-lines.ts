// POST /publish with lines of JSON: a request that stays open as long as its publisher likes, a publication a line, and an answer
// a line in the same order. Nothing is read while the engine or the reader of the answers lags behind, so TCP slows the
// publisher down, and memory has at most one chunk of the body and its answers.
import { errorBody, Refusal, shuttingDown } from "../../relay/contracts/errors";
import type { Maybe } from "../../relay/contracts/maybe";
import type { Published } from "../../relay/contracts/publication";
import type { Relay } from "../../relay/relay";
import { tooDeep } from "../../relay/text/checks";
import { isFarTooDeep, rawMembers } from "../../relay/text/json";
import type { Grants } from "../access/keys";
import { AnswerLines } from "../http/answer-lines";
import { checkNotEncoded } from "../http/content-type";
import type { KeepAlive } from "../http/keep-alive";
import { type Line, Lines, notJson } from "../http/lines";
import type { OpenRequest, OpenRequests } from "../http/open-requests";
import { refuse } from "../http/refusal";
import { granted, headerKey, type PublishRequest, publishRequest } from "./publish-body";

/** Lines that are published in one turn of the event loop: as many as an array may have. */
const LINES_PER_TURN = 1_000;

/** How often a publisher that must wait for the engine looks whether it is its turn. */
const ROOM_STEP_MS = 5;

/** Proxies must pass the answers on as they come. */
const HEADERS = {
  "content-type": "application/x-ndjson",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
  "x-content-type-options": "nosniff",
};

const encoder = new TextEncoder();

type Answer = Published | Refusal;

interface Reader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

interface PublishLinesOptions {
  readonly relay: Pick<Relay, "publisher" | "connections" | "tally">;
  /** Publishes. It must not throw or reject. */
  readonly publish: (command: PublishRequest) => Maybe<Answer>;
  readonly bodyBytes: number;
  readonly keepAlive: Pick<KeepAlive, "extend" | "suspend" | "resume" | "isConnected">;
  readonly openRequests: OpenRequests;
}

/** Answers requests whose bodies are lines of JSON. */
export function publishLines(
  options: PublishLinesOptions,
): (request: Request, grants: Grants) => Response | Promise<Response> {
  const { relay, bodyBytes, openRequests } = options;
  const { tally } = relay;
  return (request, grants) => {
    const { headers, body } = request;
    const refusal = checkNotEncoded(headers.get("content-encoding"));
    if (refusal !== undefined) return refuse(tally.refused(refusal));
    if (relay.connections.isShuttingDown) return refuse(tally.refused(shuttingDown()));
    if (body === null) return new Response("", { headers: HEADERS });
    const length = headers.get("content-length");
    const declaredBytes = length === null ? undefined : Number(length);
    // A body of a declared, usual length has to come within the time of any other request, and takes no place. But its answers
    // may take longer where its key may publish so many in a second.
    const isUsual = declaredBytes !== undefined && declaredBytes <= bodyBytes;
    const staysOpen = !isUsual || grants.limits.arePublicationsLimited;
    if (staysOpen && !openRequests.hasRoom()) return refuse(tally.refused(tooManyStreams()));
    return new LinePublisher(options, request, {
      body,
      declaredBytes,
      staysOpen,
      grants,
    }).respond();
  };
}

function tooManyStreams(): Refusal {
  return new Refusal(
    "too_many_streams",
    "As many requests that publish line by line are open as may be (BATON_PUBLISH_STREAMS_MAX). End one of them, or send an array.",
  );
}

interface LinesBody {
  readonly body: ReadableStream<Uint8Array>;
  /** Undefined where only the end of the body says how long it is. */
  readonly declaredBytes: number | undefined;
  /** Whether it may take any time. */
  readonly staysOpen: boolean;
  /** What its key opens. */
  readonly grants: Grants;
}

/** Publishes the lines of one request. */
class LinePublisher implements OpenRequest {
  readonly #options: PublishLinesOptions;
  readonly #request: Request;
  readonly #body: LinesBody;
  readonly #reader: Reader;
  readonly #lines: Lines;
  /** That of the Idempotency-Key header. */
  readonly #key: string | Refusal | undefined;
  /** Of the answers, once some of them have left before the body was complete. */
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  readAt = performance.now();
  lineBegunAt: number | undefined;
  #bytes = 0;
  #answers = 0;
  /** The first answer, which is the answer to the request where there is no other. */
  #first: Maybe<Answer> | undefined;
  /** Those that can leave. */
  readonly #ready = new AnswerLines();
  /** The chunk that was read last may have more lines. */
  #hasLines = false;
  /** The last turn had its share of lines. */
  #isInterrupted = false;
  /** The body has arrived whole. */
  #isComplete = false;
  /** Nothing more is to be read. */
  #isEnding = false;
  /** The next answers are being made. Otherwise those before have not been read by the publisher. */
  #isWorking = false;
  #isOver = false;

  constructor(options: PublishLinesOptions, request: Request, body: LinesBody) {
    this.#options = options;
    this.#request = request;
    this.#body = body;
    this.#reader = body.body.getReader();
    this.#lines = new Lines(options.bodyBytes);
    this.#key = headerKey(request.headers);
    if (!body.staysOpen) return;
    options.openRequests.add(this);
    options.keepAlive.suspend(request);
  }

  /**
   * Resolves when there is something to answer. A body of one line is answered with the status that its JSON would get, where
   * it is known by then that it has no more.
   */
  async respond(): Promise<Response> {
    const text = await this.#next();
    if (!this.#isComplete || this.#hasLines) return this.#stream(text);
    this.#finish();
    const only = this.#answers === 1 ? await this.#first : undefined;
    return only instanceof Refusal ? refuse(only) : new Response(text, { headers: HEADERS });
  }

  /** Bun 1.4.4 does not always cancel the answers when a publisher goes away while they are being made. */
  get isGone(): boolean {
    return !this.#options.keepAlive.isConnected(this.#request);
  }

  end(): void {
    this.#isEnding = true;
    if (this.#isWorking) this.#stopReading();
    else this.#close();
  }

  drop(): void {
    this.#isEnding = true;
    this.#finish();
    this.#stopReading();
    this.#controller?.error(new Error("the publisher is gone"));
  }

  #stopReading(): void {
    this.#reader.cancel().catch(() => {});
  }

  #stream(text: string | undefined): Response {
    const answers = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
          this.#send(text);
        },
        pull: async () => this.#send(await this.#next()),
        cancel: () => this.drop(),
      },
      // Nothing is published ahead of the publisher's reading.
      { highWaterMark: 0 },
    );
    return new Response(answers, { headers: HEADERS });
  }

  #send(text: string | undefined): void {
    if (text === undefined) this.#close();
    else if (!this.#isOver) this.#controller?.enqueue(encoder.encode(text));
  }

  #close(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#controller?.close();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { openRequests, keepAlive } = this.#options;
    openRequests.remove(this);
    // What still comes of a body that was not read to its end is discarded, for as long as any request may take.
    if (this.#body.staysOpen) keepAlive.resume(this.#request);
    if (this.#isComplete) keepAlive.extend(this.#request);
  }

  /** Publishes until there is something to answer, and resolves with that; undefined at the end. */
  async #next(): Promise<string | undefined> {
    this.#isWorking = true;
    try {
      for (;;) {
        const answers = this.#hasLines ? await this.#publishSome() : undefined;
        if (answers !== undefined) return answers;
        if (this.#hasLines) continue;
        if (this.#isComplete || this.#isEnding) return undefined;
        await this.#read();
      }
    } catch {
      // The connection has broken, so nobody is there for an answer.
      this.#isEnding = true;
      return undefined;
    } finally {
      this.#isWorking = false;
    }
  }

  async #read(): Promise<void> {
    const { done, value } = await this.#reader.read();
    // What was cut off by ending it is not a line.
    if (this.#isEnding) return;
    this.readAt = performance.now();
    this.#hasLines = true;
    if (value !== undefined) {
      this.#bytes += value.length;
      this.#lines.add(value);
    }
    this.#isComplete = done || this.#bytes === this.#body.declaredBytes;
  }

  /** Whether the engine has room, and the key may publish more now. */
  get #hasRoom(): boolean {
    return this.#isAllowed && this.#options.relay.publisher.hasRoom;
  }

  /** A request that the relay ends does not wait for its key. One whose publisher has gone must: anybody can hang up. */
  get #isAllowed(): boolean {
    return (this.#isEnding && !this.#isOver) || this.#body.grants.limits.hasRoom;
  }

  /** Publishes some lines, when the engine has room for them and others had their turn. Resolves with the answers, if any. */
  async #publishSome(): Promise<string | undefined> {
    if (this.#isInterrupted) await new Promise(setImmediate);
    this.#isInterrupted = false;
    while (!this.#hasRoom) {
      if (this.#isOver && !this.#isAllowed) {
        this.#hasLines = false;
        return undefined;
      }
      await Bun.sleep(ROOM_STEP_MS);
      // The publisher is not silent as long as the relay does not read.
      this.readAt = performance.now();
    }
    /** All answers from the first one on that comes later. */
    let late: Maybe<Answer>[] | undefined;
    const lateNumbers: number[] = [];
    for (let taken = 0; this.#hasRoom && !this.#isInterrupted; taken++) {
      const line = this.#lines.take() ?? (this.#isComplete ? this.#lines.takeLast() : undefined);
      this.#hasLines = line !== undefined;
      if (line === undefined) break;
      this.lineBegunAt = undefined;
      this.#isInterrupted = taken === LINES_PER_TURN;
      if (line === "") continue;
      const { number } = this.#lines;
      const answer = this.#publish(line);
      if (late === undefined && !(answer instanceof Promise)) {
        this.#answer(answer, number);
        continue;
      }
      late ??= [];
      late.push(answer);
      lateNumbers.push(number);
    }
    if (this.#lines.isIncomplete) this.lineBegunAt ??= this.readAt;
    if (late !== undefined) {
      const answers = await Promise.all(late);
      for (const [i, answer] of answers.entries()) this.#answer(answer, lateNumbers[i] as number);
    }
    return this.#ready.take() || undefined;
  }

  #publish(line: Line): Maybe<Answer> {
    this.#body.grants.limits.countPublications(1);
    const answer = line instanceof Refusal ? line : this.#options.publish(this.#requestOf(line));
    if (this.#answers++ === 0) this.#first = answer;
    return answer;
  }

  #requestOf(line: string): PublishRequest {
    let value: unknown;
    try {
      if (isFarTooDeep(line)) return tooDeep();
      value = JSON.parse(line);
    } catch {
      return notJson();
    }
    const { number } = this.#lines;
    const key = typeof this.#key === "string" && number > 1 ? `${this.#key}/${number}` : this.#key;
    const request = publishRequest(value, key, () => rawMembers(line, "data")[0]);
    return granted(request, this.#body.grants);
  }

  #answer(answer: Answer, line: number): void {
    if (!(answer instanceof Refusal)) {
      this.#ready.addPublished(answer);
      return;
    }
    this.#options.relay.tally.refused(answer);
    if (answer.code === "shutting_down") this.#isEnding = true;
    this.#ready.addText(`${JSON.stringify({ ...errorBody(answer), line })}\n`);
  }
}
