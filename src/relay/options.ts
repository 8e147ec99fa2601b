// What the relay needs from outside: what it may not have by itself is handed in here.

import type { Engine } from "./contracts/engine";
import type { Limits } from "./contracts/limits";
import type { Position } from "./contracts/publication";
import type { TopicRules } from "./contracts/topic-rules";
import type { Transport } from "./state/connection";
import type { Permissions } from "./topics/permissions";

export interface RelayOptions {
  readonly limits: Limits;
  /** Topics of a connection before it chooses; checked with `checkTopic`. */
  readonly defaultTopics: readonly string[];
  readonly engine: Engine;
  readonly outlet: Transport;
  /** Monotonic, in ms: a change of the wall clock must end nothing. */
  readonly now: () => number;
  /** A new connection id: 32 lower-case hex digits of 128 random bits. */
  readonly newId: () => string;
  /** From 0 to 1; spreads pings. */
  readonly random: () => number;
  /** Does the work in another turn of the loop. */
  readonly later: (work: () => void) => void;
  /** Does the work after so many ms; gives the way to call that off. */
  readonly after: (ms: number, work: () => void) => () => void;
  readonly authority: Permissions;
  readonly rules: TopicRules;
  /** Whether each known user of a session has the topic "#" and its name. */
  readonly personalTopics: boolean;
  /** What clients of sessions are told of this relay. */
  readonly version: string;
  readonly node: string;
}

/** How a connection begins, when its address says so. */
export interface Beginning {
  readonly topics?: readonly string[] | undefined;
  readonly since?: ReadonlyMap<string, Position> | undefined;
}

export interface Counts {
  readonly connections: number;
  readonly registrations: number;
  readonly topics: number;
}
