// POSTs requests to one address of an operator's: never to one that a redirect names, nor to one that is not public unless that is allowed.
import { publicAddressOf } from "./public-address";
import type { HookRequest } from "./receiver";
import { retryAfterMs } from "./retry-after";

/** How long a receiver may take to answer. */
const TIMEOUT_MS = 10_000;

/** The longest pause that a receiver can ask for. */
const RETRY_AFTER_MAX_MS = 600_000;

export interface CallerOptions {
  readonly url: string;
  /** Whether it may have an address of this machine or of a private network. */
  readonly addresses: "any" | "public";
  /** In place of the network, for tests. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** Why a receiver did not take a request. */
export interface Failure {
  /** What is wrong, as a part of a sentence. */
  readonly problem: string;
  /** What it answered; undefined where it did not. */
  readonly status: number | undefined;
  /** How long it asks to be left alone; 0 if it does not. */
  readonly pauseMs: number;
}

export class HookCaller {
  readonly #url: URL;
  readonly #addresses: CallerOptions["addresses"];
  readonly #fetch: NonNullable<CallerOptions["fetch"]>;

  constructor({ url, addresses, fetch: given }: CallerOptions) {
    this.#url = new URL(url);
    this.#addresses = addresses;
    this.#fetch = given ?? fetch;
  }

  /** What the log may show of it. */
  get origin(): string {
    return this.#url.origin;
  }

  /** Why the receiver did not take the request; undefined when it did. Never rejects. */
  async post({ headers, body }: HookRequest): Promise<Failure | undefined> {
    try {
      const target = await this.#target();
      if (target === undefined) {
        return failure("its address is not public, and BATON_WEBHOOKS_PRIVATE is not set");
      }
      const response = await this.#fetch(target, {
        method: "POST",
        headers: { ...headers, host: this.#url.host },
        body,
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      if (response.ok) return undefined;
      const { status } = response;
      const pauseMs = Math.min(RETRY_AFTER_MAX_MS, retryAfterMs(response.headers, Date.now()) ?? 0);
      return { problem: `it answered with status ${status}`, status, pauseMs };
    } catch (error) {
      return failure(problemOf(error as Error));
    }
  }

  /**
   * What to call. Without TLS that is the address that was checked, because its name may mean another one by now; with TLS nobody else
   * has a certificate of that name.
   */
  async #target(): Promise<string | undefined> {
    const { protocol, hostname, href } = this.#url;
    if (this.#addresses === "any") return href;
    const address = await publicAddressOf(hostname);
    if (address === undefined || protocol === "https:") return address && href;
    const target = new URL(href);
    target.hostname = address;
    return target.href;
  }
}

/** What Bun says of an error, without the address: its path and query may be secret. */
function problemOf({ message }: Error): string {
  return message.replace(/ fetching ".*"/, "").replace(/ For more information, .*$/, "");
}

function failure(problem: string): Failure {
  return { problem, status: undefined, pauseMs: 0 };
}
