// What one address may do: requests and attempts to connect in a second. How many connections it may have open, the relay counts by
// the address that `attempt` gives. Whoever has an API key is not limited here.
import type { Log } from "../../../log";
import { Refusal } from "../../../relay/contracts/errors";
import type { Settings } from "../../../settings/definitions";
import type { ClientAddresses } from "./client-addresses";
import { ClientRates } from "./rates";

/** Each limit is logged at most once in this time, however many addresses are over it. */
const LOG_PERIOD_MS = 60_000;

/** When a client that was refused for its rate may try again. */
const RETRY_S = 1;

type Limits = Pick<
  Settings,
  "trustedProxies" | "addressConnectionsMax" | "addressAttemptsMax" | "addressRequestsMax"
>;

interface AddressLimitsOptions {
  readonly limits: Limits;
  readonly addresses: ClientAddresses;
  /** Whether a request has one of the relay's keys. */
  readonly hasKey: (headers: Headers) => boolean;
  readonly log: Log;
}

export class AddressLimits {
  readonly #options: AddressLimitsOptions;
  readonly #requests: ClientRates | undefined;
  readonly #attempts: ClientRates | undefined;
  /** Whether connections must know their addresses. */
  readonly #isAddressWanted: boolean;
  /** When each limit may be logged again, and how many were refused since it was. */
  readonly #noted = new Map<string, { next: number; more: number }>();

  constructor(options: AddressLimitsOptions) {
    this.#options = options;
    const { limits, log } = options;
    this.#requests = ratesOf(limits.addressRequestsMax);
    this.#attempts = ratesOf(limits.addressAttemptsMax);
    // The log says who a client is where that may help: at debug, or where somebody has said how to know it.
    this.#isAddressWanted =
      limits.addressConnectionsMax > 0 ||
      limits.trustedProxies.length > 0 ||
      log.isLevelEnabled("debug");
  }

  /** Whether requests have a limit, so that `checkRequest` must be called. */
  get areRequestsLimited(): boolean {
    return this.#requests !== undefined;
  }

  /** Counts a request; refuses (`too_many_requests`) one too many. */
  checkRequest(request: Request): Refusal | undefined {
    if (this.#requests === undefined || this.#options.hasKey(request.headers)) return undefined;
    const address = this.#options.addresses.of(request);
    if (this.#requests.take(address, performance.now())) return undefined;
    const max = this.#options.limits.addressRequestsMax;
    return this.#refused(
      address,
      "too_many_requests",
      `This address has sent more than ${max} requests in a second (BATON_ADDRESS_REQUESTS_MAX). Send fewer, or use an API key.`,
    );
  }

  /**
   * Counts an attempt to connect, and gives the address of the client, "" where nothing depends on that. Refuses
   * `too_many_attempts`.
   */
  attempt(request: Request): string | Refusal {
    if (this.#attempts === undefined && !this.#isAddressWanted) return "";
    const address = this.#options.addresses.of(request);
    if (this.#attempts?.take(address, performance.now()) !== false) return address;
    const max = this.#options.limits.addressAttemptsMax;
    return this.#refused(
      address,
      "too_many_attempts",
      `This address has tried to open more than ${max} connections in a second (BATON_ADDRESS_ATTEMPTS_MAX). Wait longer after each failed attempt.`,
    );
  }

  /** Logs that an address has as many connections as it may, if that is why it was refused. */
  noteConnect(address: string, { code }: Refusal): void {
    if (code === "too_many_address_connections") this.#note(address, code);
  }

  #refused(
    address: string,
    code: "too_many_requests" | "too_many_attempts",
    sentence: string,
  ): Refusal {
    this.#note(address, code);
    return new Refusal(code, sentence, RETRY_S);
  }

  #note(address: string, code: string): void {
    const now = performance.now();
    const noted = this.#noted.getOrInsertComputed(code, () => ({ next: 0, more: 0 }));
    if (now < noted.next) {
      noted.more++;
      return;
    }
    const more = noted.more > 0 && { more: noted.more };
    this.#options.log.warn({ address, code, ...more }, "an address is over a limit");
    noted.next = now + LOG_PERIOD_MS;
    noted.more = 0;
  }
}

function ratesOf(perSecond: number): ClientRates | undefined {
  return perSecond === 0 ? undefined : new ClientRates(perSecond);
}
