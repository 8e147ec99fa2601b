// How long a connection may be quiet between two requests. A load balancer keeps connections to use them again, and it must be
// the one that closes them: a POST that is sent into a connection that the relay is just closing cannot be repeated by it.
import type { Server } from "bun";
import { type Maybe, then } from "../../relay/contracts/maybe";
import type { Connection } from "../../relay/state/connection";
import { mayStream } from "./paths";

/** Bun counts in steps of 4 s, and a timeout ends up to one step early. */
const STEP_S = 4;

/**
 * Cuts off a client that sends its request a byte at a time, since Bun does not begin to count again at each byte. A connection
 * whose request is complete may be quiet for longer.
 */
export const HTTP_IDLE_S = 10;

/** While files are scarce they are counted again after this many requests; counting takes about 3 µs. */
const REQUESTS_PER_COUNT = 32;

interface KeepAliveOptions {
  readonly keepAliveMs: number;
  /** How many files the process may open. */
  readonly descriptors: number;
  /** How many sockets and streams are open. */
  readonly connectionsOpen: () => number;
  /** How many files the process has open, at least. */
  readonly openFiles: () => number;
}

export class KeepAlive {
  readonly #options: KeepAliveOptions;
  readonly #seconds: number;
  #server: Server<Connection> | undefined;
  /** How many requests are left until the open files are counted again. */
  #requestsLeft = 0;
  #isScarce = false;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    this.#seconds = Math.ceil(options.keepAliveMs / 1_000) + STEP_S;
  }

  attach(server: Server<Connection>): void {
    this.#server = server;
  }

  /**
   * Lets the connection of this request be quiet for long. To be called once the request has arrived whole: what is still
   * missing of it would have as long to arrive. Without a call the server's own, short limit holds.
   */
  extend(request: Request): void {
    if (--this.#requestsLeft < 0) this.#countFiles();
    if (!this.#isScarce) this.#server?.timeout(request, this.#seconds);
  }

  /** Lets a request take any time. Whoever calls it bounds that, and calls `resume` at its end. */
  suspend(request: Request): void {
    this.#server?.timeout(request, 0);
  }

  /** From now on the request has as long as a new one. */
  resume(request: Request): void {
    this.#server?.timeout(request, HTTP_IDLE_S);
  }

  /** Whether the connection of a request that has not been answered to the end is still open. */
  isConnected(request: Request): boolean {
    return this.#server === undefined || this.#server.requestIP(request) !== null;
  }

  /** Does what `extend` does for a POST whose body is read by whoever makes this answer, unless it is refused unread. */
  extendAfter(request: Request, answer: Maybe<Response>): Maybe<Response> {
    return then(answer, (response) => {
      const isStream = response.status === 200 && mayStream(request.url);
      if (request.bodyUsed && !isStream) this.extend(request);
      return response;
    });
  }

  /**
   * Files are scarce when the connections that are only kept take more than half of what sockets and streams leave: many idle
   * ones must not lock clients out. A request adds one connection at most, so until the room is used up nobody need count again.
   */
  #countFiles(): void {
    const { descriptors, connectionsOpen, openFiles } = this.#options;
    const room = (descriptors + connectionsOpen()) / 2 - openFiles();
    this.#isScarce = room < 0;
    this.#requestsLeft = this.#isScarce ? REQUESTS_PER_COUNT : Math.floor(room);
  }
}

/** Whether more of the request than its head is to come. */
export function hasBody(headers: Headers): boolean {
  const length = headers.get("content-length");
  return length === null ? headers.has("transfer-encoding") : length !== "0";
}
