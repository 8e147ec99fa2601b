// The relay that an app embeds, from `listen` to `stop`, and what the app calls of it. All calls are those that the routes make too.
import { addressesOf } from "../edge/routes/register";
import { createLog, type Log } from "../log";
import { type RunningNode, start } from "../node";
import { disconnectReason } from "../relay/backend";
import { EngineUnavailable } from "../relay/contracts/engine";
import { engineUnavailable, Refusal } from "../relay/contracts/errors";
import type { CheckDeclared } from "../relay/contracts/options";
import { toUser } from "../relay/text/checks";
import { warnings } from "../settings/checks";
import type { Settings } from "../settings/definitions";
import type { Addresses, Publish, User } from "./answers";
import type { Counts, OpenConnection, PublishOptions } from "./contract";
import type { HostServer } from "./host/host-server";
import { orThrow, RelayError } from "./relay-error";

interface EmbeddedNodeOptions {
  readonly settings: Settings;
  readonly checkDeclared: CheckDeclared | undefined;
  readonly log: ((line: string) => void) | undefined;
}

interface RegisterOptions {
  readonly user: User;
  readonly topics?: readonly string[] | undefined;
  readonly request?: Request | undefined;
}

const PUBLISH_OPTIONS: Readonly<Record<keyof PublishOptions, true>> = {
  user: true,
  except: true,
  event: true,
  idempotencyKey: true,
  push: true,
};

const REGISTER_OPTIONS: Readonly<Record<keyof RegisterOptions, true>> = {
  user: true,
  topics: true,
  request: true,
};

export class EmbeddedNode {
  readonly #settings: Settings;
  readonly #checkDeclared: CheckDeclared | undefined;
  readonly #log: Log;
  readonly #ready = Promise.withResolvers<void>();
  #host: HostServer | undefined;
  #starting: Promise<RunningNode> | undefined;
  #running: RunningNode | undefined;

  constructor({ settings, checkDeclared, log }: EmbeddedNodeOptions) {
    this.#settings = settings;
    this.#checkDeclared = checkDeclared;
    const level = log === undefined ? "silent" : settings.logLevel;
    this.#log = createLog(level, { write: (line) => log?.(line) });
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get hasStarted(): boolean {
    return this.#starting !== undefined;
  }

  /** The server listens. Where the relay cannot start, `ready` rejects, which ends the process if nobody handles it. */
  start(host: HostServer): void {
    this.#host = host;
    const settings = this.#settings;
    this.#starting = start(settings, this.#log, { host, checkDeclared: this.#checkDeclared });
    this.#starting.then(
      (running) => {
        this.#running = running;
        for (const warning of warnings(settings)) this.#log.warn(warning);
        this.#ready.resolve();
      },
      (error) => {
        host.fail(error);
        this.#ready.reject(error);
      },
    );
  }

  /** Closes the connections, over the setting shutdownMs or at once. */
  async stop(pace: "paced" | "at once"): Promise<void> {
    const running = await this.#starting?.catch(() => undefined);
    if (running === undefined) return;
    if (pace === "paced") await running.shutdown();
    else await running.stop();
  }

  async publish(topic: string, data: unknown, options: PublishOptions = {}): Promise<Publish> {
    checkNames("publish()", options, PUBLISH_OPTIONS);
    const json = jsonOf(data);
    const { user, except, event, idempotencyKey, push } = options;
    // As where a session has no user: what is meant for one must not reach all.
    if (user === undefined && "user" in options) {
      throw new RelayError(
        new Refusal(
          "invalid_user",
          "The user is undefined. To publish to all, leave the option out.",
        ),
      );
    }
    return this.#call(({ publisher }) =>
      publisher.publish({
        topic,
        data: json,
        user_id: user,
        except,
        event,
        idempotency_key: idempotencyKey,
        push,
      }),
    );
  }

  async register(client: RegisterOptions): Promise<Addresses> {
    checkNames("register()", client, REGISTER_OPTIONS);
    const { user, topics, request } = client;
    if (this.#running === undefined) await this.#started();
    const { prefix, isTls, url } = this.#host as HostServer;
    const scheme = isTls ? "https" : "http";
    const { publicUrl } = this.#settings;
    if (publicUrl === "" && request === undefined && !url.startsWith("http")) {
      throw new Error(
        "The app listens on a Unix socket, which is no address for clients: set publicUrl, or hand on the request that asks.",
      );
    }
    const { id } = await this.#call(({ admission }) => admission.register(user, topics));
    return addressesOf(id, { publicUrl, scheme, prefix, listeningUrl: () => url }, request);
  }

  async unregister(address: string): Promise<boolean> {
    const [path = ""] = address.split("?", 1);
    const id = path.slice(path.lastIndexOf("/") + 1);
    return this.#call(({ admission }) => admission.unregister(id));
  }

  async disconnect(
    userId: User,
    { code, reason }: { code?: number; reason?: string } = {},
  ): Promise<number> {
    const close = orThrow(disconnectReason(code, reason));
    const user = orThrow(toUser(userId));
    return this.#call(({ backend }) => backend.disconnect({ user }, close));
  }

  async connections(userId: User): Promise<readonly OpenConnection[]> {
    const user = orThrow(toUser(userId));
    const found = await this.#call(({ backend }) => backend.connections({ user }));
    return found.map(({ id, protocol, topics, ageMs, waitingBytes }) => ({
      id,
      protocol,
      topics,
      ageMs,
      waitingBytes,
    }));
  }

  async presence(topic: string): Promise<readonly { client: string; user: string }[]> {
    const found = await this.#call(({ backend }) => backend.presence(topic));
    return found.map(({ client, user }) => ({ client, user }));
  }

  counts(): Counts {
    const relay = this.#running?.relay;
    if (relay === undefined) return { connections: 0, registrations: 0, topics: 0, users: 0 };
    return { ...relay.counts, users: relay.connections.users };
  }

  /** Calls the relay as soon as it serves. Throws RelayError. */
  async #call<Value>(
    call: (relay: RunningNode["relay"]) => Value | Refusal | Promise<Value | Refusal>,
  ): Promise<Value> {
    const running = this.#running ?? (await this.#started());
    try {
      const answer = call(running.relay);
      const value = answer instanceof Promise ? await answer : answer;
      if (value instanceof Refusal) throw new RelayError(running.relay.tally.refused(value));
      return value;
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      throw new RelayError(running.relay.tally.refused(engineUnavailable()));
    }
  }

  #started(): Promise<RunningNode> {
    if (this.#starting !== undefined) return this.#starting;
    throw new RelayError(notStarted());
  }
}

/**
 * What no type has checked may have names of its own, and what is meant for `userId: 7` must not reach all. Throws RelayError, as
 * the routes refuse properties that they do not know.
 */
function checkNames(call: string, options: object, known: Readonly<Record<string, true>>): void {
  for (const name in options) {
    if (Object.hasOwn(known, name)) continue;
    throw new RelayError(
      new Refusal(
        "invalid_body",
        `${call} has no option ${JSON.stringify(name)}. It takes ${Object.keys(known).join(", ")}.`,
      ),
    );
  }
}

/** Throws RelayError for what JSON does not have. */
function jsonOf(data: unknown): string {
  let json: string | undefined;
  let why = "such as undefined.";
  try {
    json = JSON.stringify(data);
  } catch (error) {
    why = `as this says: ${error}`;
  }
  if (json !== undefined) return json;
  throw new RelayError(new Refusal("invalid_message", `The data is nothing that JSON has, ${why}`));
}

/** The answer of a relay whose app does not listen, or not yet. */
export function notStarted(): Refusal {
  return new Refusal(
    "starting",
    "The relay starts when the app that uses it listens: call listen(). It has no part in an app that another one mounts, or whose fetch is served.",
  );
}
