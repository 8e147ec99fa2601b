// The routes on which clients connect: GET /ws/:id and GET /sse/:id.
import type { Elysia } from "elysia";
import { Refusal } from "../../relay/contracts/errors";
import type { Beginning } from "../../relay/options";
import { choiceOf, listOf, query } from "../http/query";
import { granted, Refused } from "../http/refusal";
import type { RouteOptions } from ".";
import { SOCKET_TEXT, STREAM_TEXT } from "./openapi";
import {
  ConnectionId,
  EventStream,
  errorAnswers,
  SocketQuery,
  StreamQuery,
  Switching,
} from "./schemas";

export function connecting(options: RouteOptions) {
  const { relay, handshake, socketFormats, streams, streamFormats } = options;
  return (app: Elysia) =>
    app
      .get(
        "/ws/:id",
        async ({ params: { id }, request }) => {
          const given = granted(query(request.url, Object.keys(SocketQuery.properties)));
          const format = granted(choiceOf(given, "format", socketFormats));
          granted(await handshake(request, id, format));
        },
        {
          params: ConnectionId,
          detail: {
            tags: ["relay"],
            summary: "Connect with a WebSocket",
            description: SOCKET_TEXT,
            parameters: SocketQuery.parameters,
          },
          response: {
            101: Switching,
            ...errorAnswers(
              "bad_request",
              "unknown_connection",
              "invalid_query",
              "upgrade_required",
              "too_many_user_connections",
              "too_many_connections",
              "shutting_down",
              "engine_unavailable",
            ),
          },
        },
      )

      .get(
        "/sse/:id",
        async ({ params: { id }, request }) => {
          const given = granted(query(request.url, Object.keys(StreamQuery.properties)));
          const format = granted(choiceOf(given, "format", streamFormats));
          const unavailable = relay.unavailable();
          if (unavailable !== undefined) {
            if (acceptsEvents(request)) return streams.comeBack();
            throw new Refused(unavailable);
          }
          const topics = listOf(given, "topics");
          const resumed = request.headers.get("last-event-id") || given.get("since") || "";
          const connection = granted(await relay.admission.admit(id, format));
          const names = new Set(topics ?? relay.initialTopics(connection));
          const since = format.decodeSince?.(resumed, names);
          const beginning: Beginning = { topics: [...names], since };
          const refusal = topics && relay.checkTopics(connection, names);
          const answer = refusal ?? streams.open(request, connection, beginning);
          if (answer instanceof Refusal) relay.admission.abandon(connection);
          return granted(answer);
        },
        {
          params: ConnectionId,
          detail: {
            tags: ["relay"],
            summary: "Connect with EventSource (Server-Sent Events)",
            description: STREAM_TEXT,
            parameters: StreamQuery.parameters,
          },
          response: {
            200: EventStream,
            ...errorAnswers(
              "bad_request",
              "unknown_connection",
              "invalid_query",
              "permission_denied",
              "invalid_topic",
              "too_many_topics",
              "too_many_user_connections",
              "too_many_connections",
              "shutting_down",
              "engine_unavailable",
            ),
          },
        },
      );
}

/** EventSource always says so. */
function acceptsEvents(request: Request): boolean {
  return request.headers.get("accept")?.includes("text/event-stream") === true;
}
