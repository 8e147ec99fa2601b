// What serves the backends and the clients of the Pusher protocol, and its routes as Elysia has them: for the API page, and for requests
// that do not take the short way to api.ts and handshake.ts.
import { type TSchema, Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import type { ErrorCode } from "../../relay/contracts/errors";
import type { Settings } from "../../settings/definitions";
import {
  bodyDocument,
  errorAnswers,
  errorAnswersBy,
  MORE_PARAMETERS,
  queryDocument,
  Switching,
} from "../http/documents";
import { orThrow } from "../http/refusal";
import { type PusherApi, pusherApi, statusOf } from "./api";
import { type PusherHandshake, pusherHandshake } from "./handshake";
import * as Shape from "./shapes";

const SIGNED: readonly ErrorCode[] = [
  "bad_request",
  "invalid_signature",
  "too_many_key_requests",
  "engine_unavailable",
];

const WITH_BODY: readonly ErrorCode[] = [
  ...SIGNED,
  "malformed_json",
  "body_too_large",
  "unsupported_media_type",
];

const PUBLISHED: readonly ErrorCode[] = [
  ...WITH_BODY,
  "invalid_body",
  "invalid_query",
  "invalid_topic",
  "unknown_topic",
  "invalid_event",
  "invalid_message",
  "undeclared_topic",
  "invalid_data",
  "invalid_idempotency_key",
  "message_too_large",
  "idempotency_conflict",
  "too_many_key_publications",
  "too_many_publications",
  "shutting_down",
];

const SIGNATURE = queryDocument({
  auth_key: Type.String({ description: "The key of the app." }),
  auth_timestamp: Type.String({
    description: "When the request was signed, in Unix seconds: at most 600 s from now.",
  }),
  auth_version: Type.String({ description: "1.0" }),
  body_md5: Type.String({ description: "The MD5 of the body in hex, where there is one." }),
  auth_signature: Type.String({
    description:
      "The HMAC-SHA256, in hex, with the secret of the app, of the method, the path and all other parameters: sorted, decoded, as name=value with & in between; three lines.",
  }),
}).parameters;

const INFO = {
  info: Type.String({
    description: "user_count, only of presence channels, subscription_count, or both.",
  }),
};

interface Document {
  readonly summary: string;
  readonly description?: string;
  readonly answer: TSchema;
  readonly codes: readonly ErrorCode[];
  readonly body?: TSchema;
  readonly query?: Record<string, TSchema>;
  readonly params: Record<string, TSchema>;
}

export interface PusherDoors {
  readonly api: PusherApi;
  readonly openSocket: PusherHandshake;
}

type ApiOptions = Parameters<typeof pusherApi>[0];
type HandshakeOptions = Parameters<typeof pusherHandshake>[0];

interface PusherDoorsOptions
  extends Pick<ApiOptions, "relay" | "log">,
    Pick<HandshakeOptions, "sockets" | "addressLimits"> {
  readonly pusher: Pick<ApiOptions, "apps" | "format">;
  readonly settings: Pick<Settings, "pusherApps" | "pusherClientEventsMax" | "bodyBytes">;
}

/** Undefined where there are no apps. */
export function pusherDoors(options: PusherDoorsOptions): PusherDoors | undefined {
  const { pusher, settings, relay, sockets, addressLimits, log } = options;
  const { pusherApps, pusherClientEventsMax: clientEventsMax, bodyBytes } = settings;
  if (pusherApps.length === 0) return undefined;
  return {
    api: pusherApi({ ...pusher, relay, bodyBytes, log }),
    openSocket: pusherHandshake({ ...pusher, relay, sockets, addressLimits, clientEventsMax }),
  };
}

interface Asked {
  readonly request: Request;
}

export function pusherRoutes({ api, openSocket }: PusherDoors) {
  const answer = ({ request }: Asked): Promise<Response> => api(request);
  return (app: Elysia) =>
    app
      .post("/apps/:id/events", answer, routeOf(EVENTS))
      .post("/apps/:id/batch_events", answer, routeOf(BATCH_EVENTS))
      .get("/apps/:id/channels", answer, routeOf(CHANNELS))
      .get("/apps/:id/channels/:channel", answer, routeOf(CHANNEL))
      .get("/apps/:id/channels/:channel/users", answer, routeOf(USERS))
      .post("/apps/:id/users/:user/terminate_connections", answer, routeOf(TERMINATE))
      .post("/users/:user/terminate_connections", answer, routeOf(TERMINATE_WITHOUT_APP))
      .get("/app/:key", ({ request }: Asked) => void orThrow(openSocket(request)), SOCKET);
}

const EVENTS: Document = {
  summary: "Publish an event to channels",
  answer: Shape.EventAnswer,
  codes: PUBLISHED,
  body: Shape.EventBody,
  params: Shape.AppParameter,
};

const BATCH_EVENTS: Document = {
  summary: "Publish several events, in their order",
  description: "Where one of them is refused for what is in it, none is published.",
  answer: Shape.BatchAnswer,
  codes: [...PUBLISHED, "batch_too_large"],
  body: Shape.BatchBody,
  params: Shape.AppParameter,
};

const CHANNELS: Document = {
  summary: "List the channels that have subscribers",
  answer: Shape.ChannelsAnswer,
  codes: [...SIGNED, "invalid_query"],
  query: {
    filter_by_prefix: Type.String({ description: "Only channels that begin with this." }),
    ...INFO,
  },
  params: Shape.AppParameter,
};

const CHANNEL: Document = {
  summary: "Say who is in a channel, in numbers, and what new subscribers are shown",
  answer: Shape.ChannelAnswer,
  codes: [...SIGNED, "invalid_query", "invalid_topic", "unknown_topic"],
  query: {
    info: Type.String({
      description:
        "user_count, only of presence channels, subscription_count, and cache, only of cache channels: the data of the last event, where there is one.",
    }),
  },
  params: { ...Shape.AppParameter, ...Shape.ChannelParameter },
};

const USERS: Document = {
  summary: "List the users in a presence channel",
  answer: Shape.UsersAnswer,
  codes: [...SIGNED, "invalid_query", "invalid_topic", "unknown_topic"],
  params: { ...Shape.AppParameter, ...Shape.ChannelParameter },
};

const TERMINATE: Document = {
  summary: "Close all connections of a user",
  description: "Of all protocols. Their clients do not come back by themselves.",
  answer: Shape.NothingAnswer,
  codes: [...WITH_BODY, "invalid_user"],
  params: { ...Shape.AppParameter, ...Shape.UserParameter },
};

const TERMINATE_WITHOUT_APP: Document = {
  ...TERMINATE,
  description: "The same without an app in the path, as the library for Python sends it.",
  params: Shape.UserParameter,
};

/** What is in a path or query is checked by api.ts, after the signature. */
function routeOf({ summary, description, answer, codes, body, query = {}, params }: Document) {
  return {
    parse: "none" as const,
    params: Type.Object(params),
    response: { 200: answer, ...errorAnswersBy(statusOf, codes) },
    detail: {
      tags: ["pusher"],
      summary,
      ...(description !== undefined && { description }),
      ...(body !== undefined && { requestBody: bodyDocument(body) }),
      [MORE_PARAMETERS]: [...queryDocument(query).parameters, ...SIGNATURE],
    },
  };
}

const SOCKET = {
  params: Type.Object({ key: Type.String({ description: "The key of an app." }) }),
  detail: {
    tags: ["pusher"],
    summary: "Connect with a Pusher client",
    description:
      "The Pusher protocol, versions 5 to 7. A key that no app has gets a socket too, with the error and the close code 4001, because clients do not notice a refused handshake.",
  },
  response: {
    101: Switching,
    ...errorAnswers(
      "bad_request",
      "too_many_address_connections",
      "too_many_attempts",
      "too_many_connections",
      "upgrade_required",
    ),
  },
};
