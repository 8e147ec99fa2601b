// The routes on which registered clients connect: GET /ws/:id and GET /sse/:id.
import type { Elysia } from "elysia";
import { Refusal } from "../../relay/contracts/errors";
import type { Protocol, ResumableProtocol } from "../../relay/contracts/protocol";
import type { FirstTopics } from "../../relay/relay";
import { errorAnswers, MORE_PARAMETERS, Switching } from "../http/documents";
import {
  boundedOf,
  choiceOf,
  clientQuery,
  LAST_EVENT_ID,
  listOf,
  type Query,
  textOf,
} from "../http/query";
import { orThrow } from "../http/refusal";
import type { PositionsIn } from "../transports/stream";
import { SOCKET_TEXT, STREAM_TEXT } from "./openapi";
import type { RouteOptions, StreamFormats } from "./options";
import { ConnectionId, EventStream, SocketQuery, StreamQuery } from "./schemas";

const STREAM_PARAMETERS = { names: StreamQuery.names, repeated: ["topics", LAST_EVENT_ID] };

const COMMON_ERRORS = [
  "bad_request",
  "unknown_connection",
  "invalid_query",
  "too_many_user_connections",
  "too_many_address_connections",
  "too_many_attempts",
  "too_many_connections",
  "too_many_relay_topics",
  "too_many_subscriptions",
  "shutting_down",
  "engine_unavailable",
  // Where the backend is asked who connects.
  "backend_refused",
  "backend_busy",
  "backend_unavailable",
] as const;

const SOCKET_PARAMETERS = { names: SocketQuery.names, elsewhere: ["topics", "since"] };

export function connectRoutes(options: RouteOptions) {
  return (app: Elysia) => app.use(socketRoute(options)).use(streamRoute(options));
}

/** Usual handshakes never come here: edge/server.ts answers them without a framework. */
function socketRoute({ handshake, socketFormats, pingMs }: RouteOptions) {
  return (app: Elysia) =>
    app.get(
      "/ws/:id",
      async ({ params: { id }, request }) => {
        const given = orThrow(clientQuery(request.url, SOCKET_PARAMETERS));
        const protocol = orThrow(protocolOf(given, socketFormats));
        orThrow(await handshake(request, id, protocol, orThrow(heartbeatOf(given, pingMs))));
      },
      {
        params: ConnectionId,
        detail: {
          tags: ["relay"],
          summary: "Connect with a WebSocket",
          description: SOCKET_TEXT,
          [MORE_PARAMETERS]: SocketQuery.parameters,
        },
        response: {
          101: Switching,
          ...errorAnswers(...COMMON_ERRORS, "upgrade_required"),
        },
      },
    );
}

const STREAM_ERRORS = errorAnswers(
  ...COMMON_ERRORS,
  "permission_denied",
  "invalid_topic",
  "too_many_topics",
);

function streamRoute({ relay, streams, streamFormats, pingMs }: RouteOptions) {
  const open = async (id: string, asked: StreamRequest): Promise<Response | Refusal> => {
    const { request, protocol, topics, lastId, heartbeatMs, positionsIn } = asked;
    const unavailable = relay.unavailable();
    if (unavailable !== undefined) return unavailable;
    const connection = await streams.admit(request, id, protocol);
    if (connection instanceof Refusal) return connection;
    if (heartbeatMs !== undefined) relay.setHeartbeat(connection, heartbeatMs);
    const names = new Set(topics ?? relay.initialTopics(connection));
    const since = protocol.decodeSince?.(lastId, names);
    const first: FirstTopics = { names: [...names], since };
    const refusal =
      topics === undefined
        ? relay.checkRoom(connection, names)
        : relay.checkTopics(connection, names);
    const answer = refusal ?? streams.open(request, connection, first, positionsIn);
    if (answer instanceof Refusal) relay.admission.abandon(connection);
    return answer;
  };
  return (app: Elysia) =>
    app.get(
      "/sse/:id",
      async ({ params: { id }, request }) => {
        const asked = streamRequest(request, streamFormats, pingMs);
        return orThrow(await streams.orLater(request, () => open(id, asked)));
      },
      {
        params: ConnectionId,
        detail: {
          tags: ["relay"],
          summary: "Connect with EventSource (Server-Sent Events)",
          description: STREAM_TEXT,
          [MORE_PARAMETERS]: StreamQuery.parameters,
        },
        response: { 200: EventStream, ...STREAM_ERRORS },
      },
    );
}

/** What a request for a stream asks for. */
interface StreamRequest {
  readonly request: Request;
  readonly protocol: ResumableProtocol;
  /** Undefined where it names none. */
  readonly topics: readonly string[] | undefined;
  /** The last event id that the client has; "" for none. */
  readonly lastId: string;
  readonly heartbeatMs: number | undefined;
  readonly positionsIn: PositionsIn;
}

/** Throws Refused. */
function streamRequest(request: Request, formats: StreamFormats, pingMs: number): StreamRequest {
  const given = orThrow(clientQuery(request.url, STREAM_PARAMETERS));
  const protocol = orThrow(protocolOf(given, formats));
  const heartbeatMs = orThrow(heartbeatOf(given, pingMs));
  // What a polyfill has added last is newer than what the address began with.
  const inAddress = textOf(given, LAST_EVENT_ID) || textOf(given, "since") || "";
  const lastId = request.headers.get("last-event-id") || inAddress;
  const positionsIn = orThrow(
    choiceOf(given, "positions", { "": "block", event: "event" } as const),
  );
  return { request, protocol, topics: listOf(given, "topics"), lastId, heartbeatMs, positionsIn };
}

/** The protocol of the format that a client asks for; where the client takes no large frames, the one for its size. */
function protocolOf<Format extends Protocol>(
  given: Query,
  formats: Readonly<Record<string, Format>>,
): Format | ResumableProtocol | Refusal {
  const protocol = choiceOf(given, "format", formats);
  if (protocol instanceof Refusal || !given.has("max_bytes")) return protocol;
  const sizes = "sizes" in protocol ? protocol.sizes : undefined;
  const [smallest] = sizes ?? [];
  const largest = sizes?.at(-1);
  if (sizes === undefined || smallest === undefined || largest === undefined) {
    return new Refusal(
      "invalid_query",
      "max_bytes needs format=json: in its envelope, the relay can say which message it has left out.",
    );
  }
  const range = { min: smallest.maxBytes, max: largest.maxBytes };
  const asked = boundedOf(given, "max_bytes", range);
  if (typeof asked !== "number") return asked ?? protocol;
  return sizes.findLast(({ maxBytes }) => maxBytes <= asked) ?? protocol;
}

/** The heartbeat that a client asks for, at most the relay's own; undefined where it asks for none. */
function heartbeatOf(given: Query, pingMs: number): number | undefined | Refusal {
  const max = Math.max(1, Math.floor(pingMs / 1_000));
  const seconds = boundedOf(given, "heartbeat", { min: 1, max });
  return typeof seconds === "number" ? Math.min(seconds * 1_000, pingMs) : seconds;
}
