// Who may call a push service now: a bounded number of requests in all and to each service, so that one that is slow does not stop the
// others, and none to a service that is left alone.
import { EngineUnavailable } from "../../../relay/contracts/engine";
import type { Circuits } from "./circuits";

/** How many requests are under way at once, in all and to one service. */
const REQUESTS_MAX = 128;
const SERVICE_REQUESTS_MAX = 32;

/** A request that waits for its turn. */
interface WaitingRequest {
  /** Ends its wait: with 0 it is its turn, else its service is left alone for so many ms. */
  readonly start: (pauseMs: number) => void;
  readonly fail: (error: Error) => void;
}

interface Service {
  active: number;
  /** The oldest first. */
  readonly waiting: WaitingRequest[];
}

export class Turns {
  readonly #circuits: Circuits;
  /** By origin; only those that are being called or waited for. The one that had its turn last is the last. */
  readonly #services = new Map<string, Service>();
  #active = 0;
  #isStopped = false;

  constructor(circuits: Circuits) {
    this.#circuits = circuits;
  }

  /**
   * Waits until a service may be called. Resolves with 0 then, and `end` must be called after the request; or with the ms for which
   * the service is left alone. Rejects with EngineUnavailable when the relay stops.
   */
  async begin(origin: string): Promise<number> {
    if (this.#isStopped) throw stopped();
    const pauseMs = this.#circuits.pauseMs(origin);
    if (pauseMs > 0) return pauseMs;
    const service = this.#services.getOrInsertComputed(origin, () => ({ active: 0, waiting: [] }));
    if (this.#hasRoom(origin, service)) {
      this.#take(service);
      return 0;
    }
    const turn = Promise.withResolvers<number>();
    service.waiting.push({ start: turn.resolve, fail: turn.reject });
    return turn.promise;
  }

  /** "unsent": its request was not made after all. */
  end(origin: string, outcome: "answered" | "failed" | "unsent"): void {
    if (outcome === "answered") this.#circuits.answered(origin);
    else if (outcome === "failed") this.#circuits.failed(origin);
    const service = this.#services.get(origin);
    if (service === undefined) return;
    this.#active--;
    service.active--;
    const pauseMs = this.#circuits.pauseMs(origin);
    if (pauseMs > 0) for (const { start } of service.waiting.splice(0)) start(pauseMs);
    this.#startNext();
    if (service.active + service.waiting.length === 0) this.#services.delete(origin);
  }

  /** What waits is not sent any more. */
  stop(): void {
    this.#isStopped = true;
    for (const { waiting } of this.#services.values()) {
      for (const { fail } of waiting.splice(0)) fail(stopped());
    }
  }

  #startNext(): void {
    for (const [origin, service] of this.#services) {
      if (this.#active >= REQUESTS_MAX) return;
      const next = this.#hasRoom(origin, service) ? service.waiting.shift() : undefined;
      if (next === undefined) continue;
      this.#take(service);
      // It is the last now, so that each has its turn where all could fill the room; this loop comes to it again.
      this.#services.delete(origin);
      this.#services.set(origin, service);
      next.start(0);
    }
  }

  #take(service: Service): void {
    this.#active++;
    service.active++;
  }

  #hasRoom(origin: string, { active }: Service): boolean {
    const max = this.#circuits.isOnTrial(origin) ? 1 : SERVICE_REQUESTS_MAX;
    return this.#active < REQUESTS_MAX && active < max;
  }
}

function stopped(): EngineUnavailable {
  return new EngineUnavailable("the relay stops");
}
