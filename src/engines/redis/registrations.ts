// Registrations over Redis: those that wait for their clients, and which node owns the others. This node renews its own again and
// again, so that those of a dead node expire, and those that a server has lost come back.
import type {
  AfterRelease,
  Claimed,
  PreviousOwner,
  Registration,
  Registrations,
} from "../../relay/contracts/engine";
import {
  type Refusal,
  tooManyConnections,
  tooManyRegistrations,
  tooManyUserConnections,
  unknownConnection,
} from "../../relay/contracts/errors";
import type { EngineOptions } from "../options";
import { Rounds } from "../rounds";
import type { ServerClock } from "./server/clock";
import type { Keys } from "./server/keys";
import type { RedisLink } from "./server/link";
import { type OwnedRegistration, RegistrationCalls } from "./server/registration-scripts";
import { slices } from "./server/slices";

/** In how many calls of `renew` every owned registration is renewed, and how many are renewed in one script. */
const RENEW_ALL_CALLS = 60;
const RENEW_BATCH_MAX = 250;

/** How many releases one call of `renew` retries. */
const RETRIES_MAX = 1_000;

/** A node without a heartbeat for so long is dead: its registrations can be claimed, and its connections do not count. */
const HEARTBEAT_TTL_MS = 10_000;

interface RedisRegistrationsOptions extends EngineOptions {
  readonly keys: Keys;
  readonly link: RedisLink;
  readonly clock: ServerClock;
  /** This node does not own a registration any more: it was removed, or claimed elsewhere with this term. */
  readonly revoked: (id: string, term: number | undefined) => void;
}

/** A registration that this node has released, until the server confirms it. */
interface Release {
  /** Undefined when the answer to the claim was lost. */
  readonly term: number | undefined;
  readonly next: AfterRelease;
  isUnderWay: boolean;
}

export class RedisRegistrations implements Registrations {
  readonly #options: RedisRegistrationsOptions;
  readonly #calls: RegistrationCalls;
  readonly #owned = new Map<string, OwnedRegistration>();
  readonly #releases = new Map<string, Release>();
  #claimsUnderWay = 0;
  readonly #renewing = new Rounds(() => this.#owned.values());
  waiting = 0;

  constructor(options: RedisRegistrationsOptions) {
    this.#options = options;
    const { link, keys, clock, node, machine } = options;
    const connections = () => this.#owned.size + this.#claimsUnderWay;
    this.#calls = new RegistrationCalls({ link, keys, clock, node, machine, connections });
  }

  async add({ id, user, topics }: Registration): Promise<undefined | Refusal> {
    const { registrationTtlMs, registrationsMax, userConnectionsMax } = this.#options;
    const [refused, waiting] = await this.#calls.add(id, {
      user,
      topics,
      ttlMs: registrationTtlMs,
      waitingMax: registrationsMax,
      userConnectionsMax,
    });
    this.waiting = waiting;
    if (refused === "user") return tooManyUserConnections(userConnectionsMax);
    return refused === "full" ? tooManyRegistrations(registrationsMax) : undefined;
  }

  async claim(id: string): Promise<Claimed | Refusal> {
    const { userConnectionsMax, connectionsMax } = this.#options;
    const [refused, waiting, user, topicsJson, term, wasRemote] = await this.#acquire(
      id,
      "wait",
      () => this.#calls.claim(id, this.#options),
    );
    this.waiting = waiting;
    if (refused === "unknown") return unknownConnection();
    if (refused === "user") return tooManyUserConnections(userConnectionsMax);
    if (refused === "machine") return tooManyConnections(connectionsMax);
    const topics = topicsJson === "" ? undefined : (JSON.parse(topicsJson) as string[]);
    this.#owned.set(id, { id, user, topics, term, isRegistered: true });
    return { id, user, topics, term, wasRemote: wasRemote !== "" };
  }

  async own(id: string, user: string): Promise<undefined | Refusal> {
    const { userConnectionsMax, connectionsMax } = this.#options;
    const [refused] = await this.#acquire(id, "end", () =>
      this.#calls.own(id, user, this.#options),
    );
    if (refused === "user") return tooManyUserConnections(userConnectionsMax);
    if (refused === "machine") return tooManyConnections(connectionsMax);
    this.#owned.set(id, { id, user, term: 0, isRegistered: false });
    return undefined;
  }

  release(id: string, term: number, next: AfterRelease): void {
    if (this.#owned.get(id)?.term === term) this.#owned.delete(id);
    this.#release(id, { term, next, isUnderWay: false });
  }

  async remove(id: string): Promise<PreviousOwner | undefined> {
    const [waiting, where] = await this.#calls.remove(id);
    this.waiting = waiting;
    if (where === "here") this.#owned.delete(id);
    return where === "" ? undefined : { wasRemote: where === "elsewhere" };
  }

  /** The server can be reached again: this node tells it what it has released meanwhile, and everything that it owns. */
  reconnected(): void {
    for (const [id, release] of this.#releases) this.#release(id, release);
    this.#heartbeat();
    void this.#renewAll();
  }

  /** To be called about once a second while the server can be reached. Cost: a part of what this node owns. */
  renew(): void {
    this.#heartbeat();
    this.#retryReleases();
    const due = [...this.#renewing.next(Math.ceil(this.#owned.size / RENEW_ALL_CALLS))];
    for (const batch of slices(due, RENEW_BATCH_MAX)) void this.#renew(batch);
  }

  /** Resolves when the server has confirmed all releases, or cannot. */
  async close(): Promise<void> {
    const { link, keys, node } = this.#options;
    // Calls keep their order, so this one is answered after all releases that are under way.
    await link.call("DEL", [keys.heartbeat(node)]).catch(() => {});
  }

  /**
   * A call that makes this node the owner. When its answer is lost, this node is not, but the server may have made it so: then
   * the server must be told, and `next` is what becomes of the registration.
   */
  async #acquire<Answer>(
    id: string,
    next: AfterRelease,
    call: () => Promise<Answer>,
  ): Promise<Answer> {
    const { link } = this.#options;
    const wasUp = link.isUp;
    if (this.#releases.get(id)?.term === undefined) this.#releases.delete(id);
    // One that it owns already takes no more room.
    const added = this.#owned.has(id) ? 0 : 1;
    this.#claimsUnderWay += added;
    try {
      return await call();
    } catch (error) {
      const isAnswerLost = wasUp && !link.isUp;
      const isKnown = this.#releases.has(id) || this.#owned.has(id);
      if (isAnswerLost && !isKnown) this.#release(id, { term: undefined, next, isUnderWay: false });
      throw error;
    } finally {
      this.#claimsUnderWay -= added;
    }
  }

  /** Tells the server that this node does not own it any more. Until the server confirms that, `renew` retries it. */
  #release(id: string, release: Release): void {
    const { registrationTtlMs, registrationsMax } = this.#options;
    this.#releases.set(id, release);
    release.isUnderWay = true;
    this.#calls
      .release(id, {
        term: release.term,
        next: release.next,
        ttlMs: registrationTtlMs,
        waitingMax: registrationsMax,
      })
      .then(
        (waiting) => {
          this.waiting = waiting;
          if (this.#releases.get(id) === release) this.#releases.delete(id);
        },
        () => {
          release.isUnderWay = false;
        },
      );
  }

  #retryReleases(): void {
    let left = RETRIES_MAX;
    for (const [id, release] of this.#releases) {
      if (release.isUnderWay) continue;
      if (left-- === 0) break;
      this.#release(id, release);
    }
  }

  #heartbeat(): void {
    this.#calls.heartbeat(HEARTBEAT_TTL_MS).then(
      (waiting) => {
        this.waiting = waiting;
      },
      () => {},
    );
  }

  async #renewAll(): Promise<void> {
    for (const batch of slices([...this.#owned.values()], RENEW_BATCH_MAX)) {
      await this.#renew(batch);
    }
  }

  async #renew(batch: readonly OwnedRegistration[]): Promise<void> {
    const owned = batch.filter((one) => this.#owned.get(one.id) === one);
    const lost = await this.#calls.renew(owned).catch(() => []);
    for (const { id, term } of lost) {
      const current = this.#owned.get(id);
      // It may have been claimed here since.
      if (current === undefined || (term !== undefined && current.term >= term)) continue;
      this.#owned.delete(id);
      this.#options.revoked(id, term);
    }
  }
}
