// What connected sessions ask of topics beside being in them: to publish, who is there, what was published.

import type { SessionCommand } from "../contracts/commands";
import type { Engine, HistoryPage } from "../contracts/engine";
import { notAvailable, Refusal } from "../contracts/errors";
import type { Limits } from "../contracts/limits";
import type { TopicRules } from "../contracts/topic-rules";
import { toPublication } from "../publishing/acceptance";
import type { Publisher } from "../publishing/publisher";
import { type Connection, infoOf } from "../state/connection";
import { checkTopic } from "../text/checks";
import type { Permissions } from "../topics/permissions";
import type { Presence } from "../topics/presence";
import type { Replies } from "./replies";

/** Publications in one reply. */
const HISTORY_MAX = 300;

export interface SessionRequestsOptions {
  readonly authority: Permissions;
  readonly rules: TopicRules;
  readonly limits: Limits;
  readonly engine: Engine;
  readonly intake: Publisher;
  readonly presence: Presence;
  readonly replies: Replies;
}

type Of<Kind> = Extract<SessionCommand, { kind: Kind }>;

/** As many of them as may wait for one client, one at least: it asks on from there. */
function firstOf(
  publications: HistoryPage["publications"],
  bytes: number,
): HistoryPage["publications"] {
  let size = 0;
  const end = publications.findIndex(({ data }, i) => {
    size += data.length;
    return i > 0 && size > bytes;
  });
  return end < 0 ? publications : publications.slice(0, end);
}

export class SessionRequests {
  readonly #options: SessionRequestsOptions;

  constructor(options: SessionRequestsOptions) {
    this.#options = options;
  }

  publish(connection: Connection, { id, topic, data }: Of<"publish">): Promise<void> | undefined {
    const { authority, intake, limits, replies, rules } = this.#options;
    const publication = toPublication({ topic, data }, limits.messageBytes);
    const refusal =
      publication instanceof Refusal
        ? publication
        : (rules.check(topic) ?? authority.check(connection, "publish", topic));
    if (refusal !== undefined || publication instanceof Refusal) {
      replies.refuse(connection, id, refusal as Refusal);
      return undefined;
    }
    const info = infoOf(connection, topic);
    const published = intake.publish({ ...publication, info });
    const done = (answer: unknown) => {
      if (answer instanceof Refusal) replies.refuse(connection, id, answer);
      else replies.reply(connection, { kind: "done", id, of: "publish" });
    };
    if (published instanceof Promise) return published.then(done);
    done(published);
    return undefined;
  }

  async presence(connection: Connection, command: Of<"presence" | "presenceCounts">) {
    const { kind, id, topic } = command;
    const { authority, presence, replies, rules } = this.#options;
    const refusal =
      checkTopic(topic) ??
      rules.check(topic) ??
      (rules.of(topic).presence ? undefined : notAvailable()) ??
      authority.check(connection, "presence", topic);
    if (refusal !== undefined) replies.refuse(connection, id, refusal);
    else if (kind === "presence") {
      const clients = await presence.clients(topic);
      replies.reply(connection, { kind, id, clients });
    } else replies.reply(connection, { kind, id, ...(await presence.counts(topic)) });
  }

  history(connection: Connection, command: Of<"history">): Promise<void> | undefined {
    const { id, topic, since, reverse } = command;
    const { rules, authority, engine, replies } = this.#options;
    const { keepsHistory } = rules.of(topic);
    const refusal =
      checkTopic(topic) ??
      rules.check(topic) ??
      (keepsHistory ? undefined : notAvailable()) ??
      authority.check(connection, "history", topic) ??
      (reverse && since?.offset === 0
        ? new Refusal("invalid_body", "Nothing is before offset 0.")
        : undefined);
    if (refusal !== undefined) {
      replies.refuse(connection, id, refusal);
      return undefined;
    }
    const limit = command.limit < 0 ? HISTORY_MAX : Math.min(command.limit, HISTORY_MAX);
    const page = engine.history(topic, { since: since?.offset, limit, reverse });
    const done = (found: HistoryPage) => {
      if (since !== undefined && since.epoch !== "" && since.epoch !== found.top?.epoch) {
        replies.refuse(connection, id, new Refusal("unrecoverable_position", "Another epoch."));
        return;
      }
      // What was for one user alone is in the history too.
      const own = found.publications.filter(
        ({ user }) => user === undefined || user === connection.user,
      );
      const publications = firstOf(own, this.#options.limits.backpressureBytes);
      replies.reply(connection, { kind: "history", id, page: { ...found, publications } });
    };
    if (page instanceof Promise) return page.then(done);
    done(page);
    return undefined;
  }
}
