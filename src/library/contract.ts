// What an application has of the relay that it embeds. These types name nothing of Elysia's and nothing of Bun's, so that they fit
// whichever version of Elysia the application has.
import type { PushContent } from "../relay/contracts/publication";
import type { Addresses, Publish, User } from "./answers";
import type { HttpRoutes } from "./http-routes";
import type { RelaySettings } from "./relay-settings";
import type { DataFor, TopicName, Topics } from "./topics";

/** What `baton()` takes: the settings of the relay, and what only a relay in another app has. */
export interface BatonOptions<Declared extends Topics> extends RelaySettings {
  /** What may be published to which topics. Without it, anything to any. */
  readonly topics?: Declared | undefined;
  /** What the paths of Baton's routes begin with, such as "/relay". */
  readonly prefix?: string | undefined;
  /** The environment, where that has settings of Baton's. What an option says counts more. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Gets the lines of Baton's log, in JSON. Without it there is none. */
  readonly log?: ((line: string) => void) | undefined;
}

export interface PublishOptions {
  /** Only this user's connections get it. Without it, all get it; undefined is refused. */
  readonly user?: User;
  /** The id of a connection that does not get it live. */
  readonly except?: string | undefined;
  /** What kind of message it is, for clients whose format has a place for that. */
  readonly event?: string | undefined;
  /** Whatever is published with the same key in the same topic is published once. */
  readonly idempotencyKey?: string | undefined;
  /** What the user's devices show if no connection takes it in time; for publications to one user. */
  readonly push?: PushContent | undefined;
}

export interface OpenConnection {
  /** Anyone who has it can connect with it. */
  readonly id: string;
  readonly protocol: string;
  readonly topics: readonly string[];
  /** How long it has been open. */
  readonly ageMs: number;
  readonly waitingBytes: number;
}

export interface Counts {
  readonly connections: number;
  /** Those that wait for their clients. */
  readonly registrations: number;
  /** Those with a subscriber. */
  readonly topics: number;
  /** Those with an open connection. */
  readonly users: number;
}

/**
 * A relay that an Elysia app serves beside its own routes: `new Elysia().use(relay).listen(3000)`. Where a call is refused, its
 * promise rejects with a RelayError.
 */
export interface EmbeddedRelay<Declared extends Topics> {
  /** What `use` calls. */
  <App>(app: App): App & { readonly "~Routes": HttpRoutes<Declared> };
  /** Resolves when the relay serves, after `listen`; rejects when it cannot start. */
  readonly ready: Promise<void>;
  /** Publishes data to the subscribers of a topic, with no request in between. */
  publish<Name extends TopicName<Declared>>(
    topic: Name,
    data: DataFor<Declared, Name>,
    options?: PublishOptions,
  ): Promise<Publish>;
  /**
   * Registers a client for a user whom the application knows. Without the setting publicUrl, the addresses are made of the Host of
   * the `request` or, where that is left out too, of where the server listens; a Unix socket is no such place, and throws.
   */
  register(client: {
    readonly user: User;
    readonly topics?: readonly TopicName<Declared>[] | undefined;
    readonly request?: Request | undefined;
  }): Promise<Addresses>;
  /** Ends a registration by its address or id, and the connection that uses it; false where there is none. */
  unregister(address: string): Promise<boolean>;
  /** Ends all connections of a user; resolves with their number. The code is from 3000 to 4999. */
  disconnect(
    user: User,
    close?: { readonly code?: number; readonly reason?: string },
  ): Promise<number>;
  /** A user's open connections. */
  connections(user: User): Promise<readonly OpenConnection[]>;
  /** Who is in a topic, where its rule has presence. */
  presence(
    topic: TopicName<Declared>,
  ): Promise<readonly { readonly client: string; readonly user: string }[]>;
  /** What there is in this process. */
  counts(): Counts;
}
