// What the relay needs from outside, and the limits that it keeps. It has no network, clock, randomness or I/O of its own: all of that
// is handed in. The defaults of limits, and the reasons for them, are in settings/definitions.ts.
import type { Questions } from "./backend/questions";
import type { Member } from "./commands";
import type { Engine } from "./engine";
import type { Refusal } from "./errors";
import type { Maybe } from "./maybe";
import type { Publication, Published, PushContent } from "./publication";
import type { Tally } from "./tally";
import type { TokenVerifier } from "./tokens";
import type { TopicRules } from "./topic-rules";
import type { Transports } from "./transport";

/** The most commands in one frame of a session, and that may wait for an earlier one. */
export const COMMANDS_MAX = 1_024;

/** Every limit is a count, unless its name ends in a unit. */
export interface Limits {
  readonly connectionsMax: number;
  /** Connections that one address may have open; 0: any number. */
  readonly addressConnectionsMax: number;
  readonly connectionTopicsMax: number;
  /** Members of one topic over all nodes, and what each may say of itself. */
  readonly membersMax: number;
  readonly memberInfoBytes: number;
  /** Topics that have a subscriber in this process; 0: any number. */
  readonly topicsMax: number;
  /** Subscriptions of all connections of this process; 0: any number. */
  readonly subscriptionsMax: number;
  /** Frames that one connection may send in one second. */
  readonly connectionFramesMax: number;
  /** What the frames and pings may have together that one connection sends in one second; 0: any number. */
  readonly connectionBytesMax: number;
  /** Publications of one client in one second; 0: any number. */
  readonly clientPublicationsMax: number;
  /** What the requests of one connection may make the relay send in one second; later ones wait for the next. */
  readonly connectionAnswerBytes: number;
  readonly messageBytes: number;
  /** The size of all publications that the engine has not answered yet. */
  readonly pendingBytes: number;
  /** What may wait in this process for one connection. */
  readonly backpressureBytes: number;
  /** The longest that a publication waits for the next wave; 0: none waits. */
  readonly waveMs: number;
  /** Ends of connections that are remembered, and as many resumptions. */
  readonly journalMax: number;
  readonly pingMs: number;
  readonly pongMs: number;
}

export interface RelayOptions {
  readonly limits: Limits;
  /** The topics of a connection before it chooses any. They have passed `checkTopic`. */
  readonly defaultTopics: readonly string[];
  readonly engine: Engine;
  readonly transports: Transports;
  /** What the relay counts. */
  readonly tally: Tally;
  /** Milliseconds of a monotonic clock: a change of the wall clock must end nothing. */
  readonly now: () => number;
  /** A new connection id: 32 lower-case hex digits of 128 random bits. */
  readonly newId: () => string;
  /** A number from 0 to 1; it spreads pings. */
  readonly random: () => number;
  /** Does the work in a later turn of the event loop. */
  readonly later: (work: () => void) => void;
  /** Does the work after so many milliseconds; the function that it returns cancels that. */
  readonly after: (ms: number, work: () => void) => () => void;
  readonly access: Access;
  /** Undefined where the backend is never asked. */
  readonly questions?: Questions | undefined;
  readonly rules: TopicRules;
  /** Where topics are declared: refuses (`undeclared_topic`, `invalid_data`) a publication that is not as they say. */
  readonly checkDeclared?: CheckDeclared | undefined;
  /** Whether each known user of a session has a topic of its own, "#" followed by the user. */
  readonly personalTopics: boolean;
  /** Baton's version, as clients of sessions are told. */
  readonly version: string;
  /** This node's name among all nodes of the relay. */
  readonly node: string;
  /** A publication could not be delivered, through a fault of ours: its topic's connections resume, and the rest goes on. */
  readonly onDeliveryFault: (error: unknown) => void;
  /** Undefined where nobody wants to know what happens: then what it costs to find out is not done. */
  readonly witness?: Witness | undefined;
  /** Undefined where publications have no other way to their users than connections. */
  readonly pushes?: Pushes | undefined;
  /** How long a user may be without a connection before that is told. */
  readonly offlineMs: number;
  /** Whether other nodes that share the port do not serve yet. */
  readonly isStarting?: (() => boolean) | undefined;
}

/** Takes publications to one user that go to the user's devices if no connection takes them. */
export interface Pushes {
  /**
   * What is to be done with a publication, before it is published: undefined where nothing is. `content` is what its publisher says
   * of it, `key` its idempotency key. Refuses `push_too_large`, `too_many_pushes`. May reject with EngineUnavailable.
   */
  prepare(
    publication: Publication,
    content: PushContent | undefined,
    key: string | undefined,
  ): Maybe<PreparedPush | Refusal | undefined>;
}

export interface PreparedPush {
  readonly id: string;
  /**
   * To be called when the publication is published; whoever repeats it with its key may call it again. Refuses `too_many_pushes`. May
   * reject with EngineUnavailable.
   */
  keep(published: Published): Maybe<Refusal | undefined>;
}

export type CheckDeclared = (publication: Publication) => Refusal | undefined;

/** Is told what happens in the relay, of all its nodes together: each on one node only. */
export interface Witness {
  /** Whether it wants to know of these: what it costs to find out is done only then. */
  wants(kind: RelayEvent["kind"]): boolean;
  /** Tells what cannot be undone: it is kept as soon as the engine can be reached. */
  tell(happened: RelayEvent): void;
  /** Resolves when it is kept; rejects with EngineUnavailable when it may not be. The call to the engine is made in this turn. */
  keep(happened: RelayEvent): Maybe<undefined>;
}

export type RelayEvent =
  /** A user has a first connection, or has had none for `offlineMs`. */
  | (Keyed & { readonly kind: "online" | "offline"; readonly user: string })
  /** A topic has its first subscriber, or has had none for a moment. */
  | (Keyed & { readonly kind: "occupied" | "vacated"; readonly topic: string })
  /** A user is in a topic with presence, or has not been for a moment. */
  | (Keyed & { readonly kind: "joined" | "left"; readonly topic: string; readonly user: string })
  /** A user has become a member of a topic, or has been none for a moment. */
  | (Keyed & {
      readonly kind: "memberAdded" | "memberRemoved";
      readonly topic: string;
      readonly user: Member["user"];
    })
  /** A client was to begin with the newest publication of a topic, and there is none. */
  | { readonly kind: "missed"; readonly topic: string }
  /** A topic has so many subscribers now, after it had another number of them. */
  | { readonly kind: "counted"; readonly topic: string; readonly count: number }
  /** A client has published. */
  | { readonly kind: "published"; readonly publication: Publication; readonly client: string }
  /** A publication with a push was taken by no connection of its user, and accepted for no device. */
  | (Keyed & {
      readonly kind: "undelivered";
      readonly publication: Publication;
      readonly push: PushContent;
      /** What became of it for each device that the user had. */
      readonly devices: readonly { readonly id: string; readonly state: string }[];
    })
  /** A client has read too slowly, so that its connection was closed. */
  | {
      readonly kind: "slow";
      readonly user: string;
      readonly protocol: string;
      /** Some of the topics that it had. */
      readonly topics: readonly string[];
    };

/** An event that may be told again after a fault. `key` is the same then, and another one for every other event. */
interface Keyed {
  readonly key: string;
}

/** Who may connect and act without the backend's doing. */
export interface Access {
  /** Undefined when no key is configured to check tokens with. */
  readonly tokens: TokenVerifier | undefined;
  /** Neither API keys nor tokens are configured: anyone who can reach the relay may do anything. */
  readonly isOpen: boolean;
  /** Whether a client without a token may connect, as the anonymous user. */
  readonly anonymous: boolean;
  /** How the names of topics begin that are for clients with a token or registration for just this topic, even where the relay is open. */
  readonly closedPrefixes: readonly string[];
}
