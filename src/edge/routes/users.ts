// The connections of users, for a backend: listing them, and ending them by user or by id.
import type { Elysia } from "elysia";
import { type ConnectionView, type DisconnectReason, disconnectReason } from "../../relay/backend";
import { Refusal } from "../../relay/contracts/errors";
import { toUser } from "../../relay/text/checks";
import { errorAnswers, KEY_ERRORS, MORE_PARAMETERS, UserPath } from "../http/documents";
import { query, textOf, wholeOf } from "../http/query";
import { orThrow, Refused } from "../http/refusal";
import type { RouteOptions } from "./options";
import { CloseQuery, ConnectionParameter, ConnectionsAnswer, DisconnectAnswer } from "./schemas";

const USER_ERRORS = errorAnswers(
  ...KEY_ERRORS,
  "invalid_query",
  "invalid_user",
  "engine_unavailable",
);

export function userRoutes(options: RouteOptions) {
  return (app: Elysia) =>
    app
      .use(listConnectionsRoute(options))
      .use(disconnectUserRoute(options))
      .use(disconnectConnectionRoute(options));
}

function listConnectionsRoute({ relay, requireKey, security }: RouteOptions) {
  return (app: Elysia) =>
    app.get(
      "/users/:user/connections",
      async ({ params, request }) => {
        orThrow(query(request.url, []));
        const user = orThrow(toUser(params.user));
        const found = await relay.backend.connections({ user });
        return { connections: found.map(connectionRow) };
      },
      {
        beforeHandle: requireKey("read"),
        params: UserPath,
        response: { 200: ConnectionsAnswer, ...USER_ERRORS },
        detail: {
          tags: ["relay"],
          summary: "List a user's connections",
          description:
            "Lists the open connections. The list is empty for a user without any, and for an unknown user.",
          security,
        },
      },
    );
}

function disconnectUserRoute({ relay, requireKey, security }: RouteOptions) {
  return (app: Elysia) =>
    app.delete(
      "/users/:user/connections",
      async ({ params, request }) => {
        const reason = reasonIn(request.url);
        const user = orThrow(toUser(params.user));
        return { disconnected: await relay.backend.disconnect({ user }, reason) };
      },
      {
        beforeHandle: requireKey("manage"),
        params: UserPath,
        response: { 200: DisconnectAnswer, ...USER_ERRORS },
        detail: {
          tags: ["relay"],
          summary: "Close all of a user's connections",
          description:
            "The registrations of these connections end with them. Registrations that no client has used yet stay.",
          [MORE_PARAMETERS]: CloseQuery.parameters,
          security,
        },
      },
    );
}

function disconnectConnectionRoute({ relay, requireKey, security }: RouteOptions) {
  return (app: Elysia) =>
    app.delete(
      "/connections/:id",
      async ({ params: { id }, request }) => {
        const reason = reasonIn(request.url);
        const disconnected = await relay.backend.disconnect({ client: id }, reason);
        if (disconnected > 0) return { disconnected };
        throw new Refused(new Refusal("unknown_connection", "No open connection has this id."));
      },
      {
        beforeHandle: requireKey("manage"),
        params: ConnectionParameter,
        response: {
          200: DisconnectAnswer,
          ...errorAnswers(
            ...KEY_ERRORS,
            "unknown_connection",
            "invalid_query",
            "engine_unavailable",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "Close one connection",
          description: "Its registration ends with it.",
          [MORE_PARAMETERS]: CloseQuery.parameters,
          security,
        },
      },
    );
}

function connectionRow({ id, protocol, topics, ageMs, waitingBytes }: ConnectionView) {
  const since = new Date(Date.now() - ageMs).toISOString();
  return { id, protocol, topics: [...topics], since, waiting_bytes: waitingBytes };
}

/** The close code and reason that a query gives. Throws Refused. */
function reasonIn(url: string): DisconnectReason {
  const given = orThrow(query(url, CloseQuery.names));
  const reason = disconnectReason(orThrow(wholeOf(given, "code")), textOf(given, "reason"));
  if (!(reason instanceof Refusal)) return reason;
  throw new Refused(new Refusal("invalid_query", reason.message));
}
