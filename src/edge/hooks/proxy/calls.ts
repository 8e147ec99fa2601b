// Calls to the backend: so many at once, so many that wait, each with its time. Only the addresses of the settings are called, and no
// redirect is followed. What comes back is bounded, and read only as text that was not compressed.

/** Why there is no answer. */
export interface Failure {
  readonly reason: FailureReason;
  /** What is known about it, for the log; without a part of the address that may be secret. */
  readonly why: string;
  /** Whether the backend is slow or down. Otherwise it is there, and says something that was not meant for the relay. */
  readonly isPassing: boolean;
}

export type FailureReason = "busy" | "timeout" | "connection" | "status" | "too_large" | "answer";

export interface CallLimits {
  readonly proxyTimeoutMs: number;
  readonly proxyCallsMax: number;
  readonly proxyWaitingMax: number;
  readonly proxyWaitMs: number;
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

interface WaitingCall {
  /** In characters. */
  readonly size: number;
  readonly begin: () => void;
  readonly giveUp: () => void;
  readonly until: number;
}

/** What the bodies may have together that wait: clients choose how long they are. */
const WAITING_CHARACTERS_MAX = 67_108_864;

/** Statuses of a backend that is there but cannot answer now. */
const TOO_MANY_REQUESTS = 429;
const SERVER_ERRORS = 500;

/** Nobody is left to be told. */
export const UNWANTED: Failure = { reason: "busy", why: "its client has gone", isPassing: true };

export class BackendCalls {
  #limits: CallLimits;
  readonly #now: () => number;
  readonly #waiting: WaitingCall[] = [];
  /** How many of `waiting`, from its beginning on, wait no longer. */
  #taken = 0;
  #waitingCharacters = 0;
  #running = 0;
  #timer: Timer | undefined;

  constructor(limits: CallLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  get waiting(): number {
    return this.#waiting.length - this.#taken;
  }

  get running(): number {
    return this.#running;
  }

  /** Takes new limits; what waits already keeps the old ones. */
  limit(limits: CallLimits): void {
    this.#limits = limits;
  }

  /** Resolves with the text of the answer. Never rejects. */
  async call(call: Call): Promise<string | Failure> {
    if (this.#running < this.#limits.proxyCallsMax && this.waiting === 0) this.#running++;
    else {
      const failure = await this.#wait(call.body.length);
      if (failure !== undefined) return failure;
    }
    try {
      return call.isWanted() ? await this.#ask(call) : UNWANTED;
    } finally {
      this.#running--;
      this.#beginNext();
    }
  }

  /** Resolves when it is the turn of a call, which then counts as running, or with why there is no turn for it. */
  #wait(size: number): Promise<Failure | undefined> {
    const { proxyWaitingMax, proxyWaitMs } = this.#limits;
    return new Promise((resolve) => {
      const isFull = this.#waitingCharacters + size > WAITING_CHARACTERS_MAX;
      if (this.waiting >= proxyWaitingMax || isFull) {
        const why = `${proxyWaitingMax} questions wait already (BATON_PROXY_WAITING_MAX)`;
        resolve({ reason: "busy", why, isPassing: true });
        return;
      }
      const why = `it has waited for ${proxyWaitMs} ms behind others (BATON_PROXY_WAIT_MS)`;
      this.#waitingCharacters += size;
      this.#waiting.push({
        size,
        until: this.#now() + proxyWaitMs,
        begin: () => resolve(undefined),
        giveUp: () => resolve({ reason: "busy", why, isPassing: true }),
      });
      this.#setTimer();
    });
  }

  #beginNext(): void {
    this.#giveUpLate();
    while (this.waiting > 0 && this.#running < this.#limits.proxyCallsMax) {
      this.#running++;
      this.#takeFirst()?.begin();
    }
  }

  #giveUpLate(): void {
    const now = this.#now();
    while ((this.#waiting[this.#taken]?.until ?? Number.POSITIVE_INFINITY) <= now) {
      this.#takeFirst()?.giveUp();
    }
  }

  #takeFirst(): WaitingCall | undefined {
    const first = this.#waiting[this.#taken++];
    this.#waitingCharacters -= first?.size ?? 0;
    // Not each time, since that would move all the others.
    if (this.#taken > this.#waiting.length / 2) {
      this.#waiting.splice(0, this.#taken);
      this.#taken = 0;
    }
    return first;
  }

  /** Who waits is told in time, also while no call ends. */
  #setTimer(): void {
    const first = this.#waiting[this.#taken];
    if (this.#timer !== undefined || first === undefined) return;
    const work = () => {
      this.#timer = undefined;
      this.#giveUpLate();
      this.#setTimer();
    };
    this.#timer = setTimeout(work, Math.max(1, first.until - this.#now())).unref();
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
        return { reason: "status", why: `it answered with status ${status}${moved}`, isPassing };
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
