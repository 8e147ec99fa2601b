// `baton publish`: one message, or the lines of standard input in one request that is open for as long as they come. Lines are
// read no faster than the relay takes them.
import { fstatSync } from "node:fs";
import { CommandFailure, EXIT } from "./failure";
import { note, print } from "./output";
import { Progress } from "./progress";
import type { RemoteRelay } from "./remote-relay";

/** Refused lines that are named, before they are only counted. */
const NAMED_MAX = 10;

/** More than any BATON_BODY_BYTES allows. */
const LINE_CHARACTERS_MAX = 256 * 1_024 * 1_024;

const STDIN = 0;

export interface PublishFlags {
  readonly user?: string;
  readonly data?: true;
  readonly idempotencyKey?: string;
  readonly json?: true;
}

/** Publishes one message. Throws CommandFailure. */
export async function publishOne(
  relay: RemoteRelay,
  topic: string,
  message: string,
  flags: PublishFlags,
): Promise<void> {
  const answer = await relay.post("/publish", publication(topic, message, flags));
  const { delivered, offset, epoch, scope } = answer;
  if (flags.json) {
    print(JSON.stringify(answer));
    return;
  }
  const position = offset === undefined ? "" : `, position ${epoch}:${offset}`;
  const connections = delivered === 1 ? "connection" : "connections";
  // With workers or several nodes, each counts its own.
  const where = scope === "node" ? " of the process that answered" : "";
  print(
    delivered === undefined
      ? `published${position}`
      : `delivered to ${delivered} ${connections}${where}${position}`,
  );
}

/** Publishes lines: with a topic each is a message, without one a publication as POST /publish takes it. Throws CommandFailure. */
export async function publishLines(
  relay: RemoteRelay,
  topic: string | undefined,
  flags: PublishFlags,
): Promise<void> {
  const { idempotencyKey, ...ofEach } = flags;
  if (process.stdin.isTTY) note("Each line that you type is published. Ctrl-D ends.\n");
  const input = new LineInput();
  const toLine = (text: string) =>
    topic === undefined ? text : JSON.stringify(publication(topic, text, ofEach));
  const headers = {
    "content-type": "application/x-ndjson",
    // With the number of the line, it is the key of each.
    ...(idempotencyKey !== undefined && { "idempotency-key": idempotencyKey }),
  };
  const options = { headers, body: input.body(toLine), staysOpen: true };
  const answer = await relay.call("POST", "/publish", options);
  const answers = new LineAnswers(input, flags);
  for await (const lines of linesOf(answer.body as ReadableStream<Uint8Array>)) answers.take(lines);
  answers.end();
}

/** Counts the answers to lines, and shows them. */
class LineAnswers {
  readonly #input: LineInput;
  readonly #flags: PublishFlags;
  readonly #progress: Progress;
  #published = 0;
  #refused = 0;

  constructor(input: LineInput, flags: PublishFlags) {
    this.#input = input;
    this.#flags = flags;
    const file = fstatSync(STDIN);
    this.#progress = new Progress(file.isFile() ? file.size : undefined);
  }

  take(lines: readonly string[]): void {
    for (const line of lines) {
      if (this.#flags.json) print(line);
      const { error, line: number } = JSON.parse(line);
      if (error === undefined) this.#published++;
      else if (++this.#refused <= NAMED_MAX) {
        this.#progress.clear();
        note(`baton: line ${number ?? 1}: ${error.message} (${error.code})\n`);
      }
    }
    this.#progress.show(this.#text, this.#input.bytes);
  }

  /** Throws CommandFailure where not all has been published. */
  end(): void {
    this.#progress.clear();
    const { lines, fault } = this.#input;
    if (!this.#flags.json) note(`${this.#text}\n`);
    if (fault !== undefined) throw fault;
    const missing = lines - this.#published - this.#refused;
    if (missing > 0) {
      throw new CommandFailure(
        `${missing} of ${lines} lines were not answered, as the relay has ended the request. Those that were answered are published; send the others again.`,
      );
    }
    if (this.#refused > 0) {
      throw new CommandFailure(`${this.#refused} of ${lines} lines were refused.`);
    }
  }

  get #text(): string {
    const refused = this.#refused === 0 ? "" : `, ${this.#refused} refused`;
    return `${this.#published} published${refused}`;
  }
}

/** What POST /publish takes. Throws CommandFailure. */
function publication(topic: string, message: string, flags: PublishFlags): object {
  const { user, data, idempotencyKey } = flags;
  return {
    topic,
    ...(data ? { data: jsonOf(message) } : { message }),
    ...(user !== undefined && { user_id: user }),
    ...(idempotencyKey !== undefined && { idempotency_key: idempotencyKey }),
  };
}

function jsonOf(message: string): unknown {
  try {
    return JSON.parse(message);
  } catch {
    throw new CommandFailure(
      "With --data a message must be JSON; a text is then written with quotes: '\"hi\"'.",
      EXIT.misused,
    );
  }
}

/** The lines of standard input on their way to the relay, counted. */
class LineInput {
  /** Lines that the relay answers: those that are not empty. */
  lines = 0;
  bytes = 0;
  /** Why the input has ended before its end. */
  fault: unknown;

  /** Is pulled from no faster than the relay reads. `toLine` makes what the relay takes of a line. */
  body(toLine: (text: string) => string): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    const chunks = linesOf(Bun.stdin.stream() as ReadableStream<Uint8Array>);
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { done, value } = await chunks.next();
          if (done) return controller.close();
          const bytes = encoder.encode(value.map((line) => this.#take(line, toLine)).join(""));
          this.bytes += bytes.length;
          controller.enqueue(bytes);
        } catch (error) {
          this.fault = error;
          controller.close();
        }
      },
    });
  }

  /** An empty line stays, so that the relay counts lines as their writer does. */
  #take(line: string, toLine: (text: string) => string): string {
    const text = line.replace(/\r$/, "");
    if (text.trim() === "") return "\n";
    this.lines++;
    return `${toLine(text)}\n`;
  }
}

/** The lines of a stream, those of a chunk at a time. Throws CommandFailure. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_CHARACTERS_MAX) {
      throw new CommandFailure("A line is longer than any publication may be.");
    }
    if (lines.length > 0) yield lines;
  }
  // A character that is not whole is shown as one that could not be read, as it is within the stream.
  rest += decoder.decode();
  if (rest !== "") yield [rest];
}
