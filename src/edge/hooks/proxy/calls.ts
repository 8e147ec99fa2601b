// Calls to the backend, each with its time. Only the addresses of the settings are called, and no redirect is followed. What comes back
// is bounded, and read only as text that was not compressed.
import { type TurnLimits, Turns } from "./turns";

/** Why there is no answer. */
export interface Failure {
  readonly reason: FailureReason;
  /** What is known about it, for the log; without a part of the address that may be secret. */
  readonly why: string;
  /** Whether the backend is slow or down. Otherwise it is there, and says something that was not meant for the relay. */
  readonly isPassing: boolean;
  /** What it answered with, if that was not 200. */
  readonly status?: number;
}

export type FailureReason = "busy" | "timeout" | "connection" | "status" | "too_large" | "answer";

export interface CallLimits extends TurnLimits {
  readonly proxyTimeoutMs: number;
  readonly proxyAnswerBytes: number;
}

/** What is asked, and of whom. */
interface Call {
  /** It may have a user and password, which become a header. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
  /** Whether somebody still waits for the answer. */
  readonly isWanted: () => boolean;
}

/** Statuses of a backend that is there but cannot answer now. */
const TOO_MANY_REQUESTS = 429;
const SERVER_ERRORS = 500;

/** Nobody is left to be told. */
export const UNWANTED: Failure = { reason: "busy", why: "its client has gone", isPassing: true };

export class BackendCalls {
  #limits: CallLimits;
  /** Of each address that is being asked: one that is slow must not keep others from being asked. */
  readonly #turns = new Map<string, Turns>();

  constructor(limits: CallLimits) {
    this.#limits = limits;
  }

  get waiting(): number {
    return this.#sum((turns) => turns.waiting);
  }

  get running(): number {
    return this.#sum((turns) => turns.running);
  }

  #sum(of: (turns: Turns) => number): number {
    let sum = 0;
    for (const turns of this.#turns.values()) sum += of(turns);
    return sum;
  }

  /** Takes new limits; what waits already keeps the old ones. */
  limit(limits: CallLimits): void {
    this.#limits = limits;
    for (const turns of this.#turns.values()) turns.limit(limits);
  }

  /** Resolves with the text of the answer. Never rejects. */
  async call(call: Call): Promise<string | Failure> {
    const turns = this.#turns.getOrInsertComputed(call.url, () => new Turns(this.#limits));
    const turn = turns.begin(call.body.length);
    const why = turn && (await turn);
    if (why !== undefined) return { reason: "busy", why, isPassing: true };
    try {
      return call.isWanted() ? await this.#ask(call) : UNWANTED;
    } finally {
      turns.end();
      // An address that the settings name no longer must leave nothing behind.
      if (turns.running === 0) this.#turns.delete(call.url);
    }
  }

  async #ask({ url, headers, body }: Call): Promise<string | Failure> {
    const { proxyTimeoutMs, proxyAnswerBytes } = this.#limits;
    const target = targetOf(url);
    try {
      const response = await fetch(target.url, {
        method: "POST",
        headers: { ...headers, ...target.headers, ...OWN_HEADERS },
        body,
        redirect: "manual",
        decompress: false,
        signal: AbortSignal.timeout(proxyTimeoutMs),
      });
      const { status } = response;
      if (status !== 200) {
        await response.body?.cancel();
        const isPassing = status === TOO_MANY_REQUESTS || status >= SERVER_ERRORS;
        const moved = status >= 300 && status < 400 ? ", and no redirect is followed" : "";
        const why = `it answered with status ${status}${moved}`;
        return { reason: "status", why, isPassing, status };
      }
      return await textOf(response, proxyAnswerBytes);
    } catch (error) {
      const { name, code } = error as { name?: string; code?: string };
      if (name === "TimeoutError") {
        const why = `it took more than ${proxyTimeoutMs} ms (BATON_PROXY_TIMEOUT_MS)`;
        return { reason: "timeout", why, isPassing: true };
      }
      // Not the message, which has the address in it.
      return { reason: "connection", why: code ?? name ?? "it failed", isPassing: true };
    }
  }
}

const OWN_HEADERS = {
  "content-type": "application/json",
  accept: "application/json",
  "accept-encoding": "identity",
};

/** A URL with a user in it is none that can be fetched. */
function targetOf(url: string): { url: string; headers: Record<string, string> } {
  if (!url.includes("@")) return { url, headers: {} };
  const target = new URL(url);
  const { username, password } = target;
  if (username === "" && password === "") return { url, headers: {} };
  target.username = "";
  target.password = "";
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization = `Basic ${Buffer.from(credentials).toString("base64")}`;
  return { url: target.href, headers: { authorization } };
}

async function textOf(response: Response, max: number): Promise<string | Failure> {
  const encoding = response.headers.get("content-encoding") ?? "identity";
  const isCompressed = encoding !== "" && encoding !== "identity";
  const isTooLarge = Number(response.headers.get("content-length")) > max;
  if (isCompressed || isTooLarge) {
    await response.body?.cancel();
    if (isTooLarge) return tooLarge(max);
    const why = "its answer is compressed, although the relay takes none that is";
    return { reason: "answer", why, isPassing: false };
  }
  const bytes = isOfKnownLength(response) ? await response.bytes() : await bytesOf(response, max);
  if (bytes === undefined) return tooLarge(max);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { reason: "answer", why: "its answer is not UTF-8", isPassing: false };
  }
}

/** Whether nothing but the length that was checked can come. To read it at once takes 23 µs of CPU for a call, chunk by chunk 37. */
function isOfKnownLength({ headers }: Response): boolean {
  return headers.has("content-length") && !headers.has("transfer-encoding");
}

/** Undefined where it is too long. */
async function bytesOf(response: Response, max: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    // Leaving the loop cancels the rest.
    if (size > max) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(max: number): Failure {
  const why = `its answer has more than ${max} bytes (BATON_PROXY_ANSWER_BYTES)`;
  return { reason: "too_large", why, isPassing: false };
}
