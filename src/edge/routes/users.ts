// Who is connected, for the backend, and ending that: by user, by connection, by topic.
import type { Elysia } from "elysia";
import { type ConnectionView, closeOf, type DisconnectReason } from "../../relay/backend";
import { Refusal } from "../../relay/contracts/errors";
import { toUser } from "../../relay/text/checks";
import { flagOf, query, wholeOf } from "../http/query";
import { granted, Refused } from "../http/refusal";
import type { RouteOptions } from ".";
import {
  CloseQuery,
  ConnectionParameter,
  ConnectionsAnswer,
  DisconnectAnswer,
  errorAnswers,
  PresenceAnswer,
  PresenceQuery,
  TopicParameter,
  UserParameter,
} from "./schemas";

export function users({ relay, checkKey, security }: RouteOptions) {
  const { backend } = relay;
  return (app: Elysia) =>
    app
      .get(
        "/users/:user/connections",
        async ({ params, request }) => {
          granted(query(request.url, []));
          const user = granted(toUser(params.user));
          const found = await backend.connections({ user });
          return { connections: found.map(connectionRow) };
        },
        {
          beforeHandle: checkKey,
          params: UserParameter,
          response: {
            200: ConnectionsAnswer,
            ...errorAnswers(
              "bad_request",
              "unauthorized",
              "invalid_query",
              "invalid_user",
              "engine_unavailable",
            ),
          },
          detail: {
            tags: ["relay"],
            summary: "List a user's connections",
            description:
              "Those that are open. A user without any, known or not, has an empty list.",
            security,
          },
        },
      )

      .delete(
        "/users/:user/connections",
        async ({ params, request }) => {
          const close = closeIn(request.url);
          const user = granted(toUser(params.user));
          return { disconnected: await backend.disconnect({ user }, close) };
        },
        {
          beforeHandle: checkKey,
          params: UserParameter,
          response: {
            200: DisconnectAnswer,
            ...errorAnswers(
              "bad_request",
              "unauthorized",
              "invalid_query",
              "invalid_user",
              "engine_unavailable",
            ),
          },
          detail: {
            tags: ["relay"],
            summary: "End all of a user's connections",
            description:
              "Their registrations end with them. A registration that waits for its client stays.",
            parameters: CloseQuery.parameters,
            security,
          },
        },
      )

      .delete(
        "/connections/:id",
        async ({ params: { id }, request }) => {
          const close = closeIn(request.url);
          const disconnected = await backend.disconnect({ client: id }, close);
          if (disconnected > 0) return { disconnected };
          throw new Refused(new Refusal("unknown_connection", "No open connection has this id."));
        },
        {
          beforeHandle: checkKey,
          params: ConnectionParameter,
          response: {
            200: DisconnectAnswer,
            ...errorAnswers(
              "bad_request",
              "unauthorized",
              "unknown_connection",
              "invalid_query",
              "engine_unavailable",
            ),
          },
          detail: {
            tags: ["relay"],
            summary: "End one connection",
            description: "Its registration ends with it.",
            parameters: CloseQuery.parameters,
            security,
          },
        },
      )

      .get(
        "/topics/:topic/presence",
        async ({ params: { topic }, request }) => {
          const given = granted(query(request.url, Object.keys(PresenceQuery.properties)));
          if (granted(flagOf(given, "counts"))) return granted(await backend.presenceCounts(topic));
          const present = granted(await backend.presence(topic));
          const clients = present.map(({ client, user }) => ({ client, user }));
          return { clients, users: new Set(present.map(({ user }) => user)).size };
        },
        {
          beforeHandle: checkKey,
          params: TopicParameter,
          response: {
            200: PresenceAnswer,
            ...errorAnswers(
              "bad_request",
              "unauthorized",
              "not_available",
              "invalid_query",
              "invalid_topic",
              "engine_unavailable",
            ),
          },
          detail: {
            tags: ["relay"],
            summary: "See who is in a topic",
            description:
              "Where the topic's rule has presence (BATON_TOPICS_FILE). Clients of all protocols count; the anonymous user counts as one.",
            parameters: PresenceQuery.parameters,
            security,
          },
        },
      );
}

function connectionRow({ id, protocol, topics, ageMs, waitingBytes }: ConnectionView) {
  const since = new Date(Date.now() - ageMs).toISOString();
  return { id, protocol, topics: [...topics], since, waiting_bytes: waitingBytes };
}

/** How a query says that connections shall be ended. Throws Refused. */
function closeIn(url: string): DisconnectReason {
  const given = granted(query(url, Object.keys(CloseQuery.properties)));
  const close = closeOf(granted(wholeOf(given, "code")), given.get("reason"));
  if (!(close instanceof Refusal)) return close;
  throw new Refused(new Refusal("invalid_query", close.message));
}
