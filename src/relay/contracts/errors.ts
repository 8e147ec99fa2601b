// The one table of errors and of close codes: every refusal, over HTTP or a socket, is a row of it.
// A code, once published, keeps its name and its meaning.

/** Every error code with its HTTP status and what it means; the OpenAPI page and the README list it. */
export const ERRORS = {
  bad_request: {
    status: 400,
    means: "The HTTP request itself is malformed, for example its Host.",
  },
  malformed_json: { status: 400, means: "The body or frame is not valid JSON in UTF-8." },
  unauthorized: { status: 401, means: "The API key is missing or wrong." },
  token_expired: { status: 401, means: "The token's time is over; a new one is needed." },
  expired: { status: 401, means: "The new token's time is over already." },
  permission_denied: { status: 403, means: "The client may not do this with this topic." },
  forbidden_origin: { status: 403, means: "The page's origin is not in BATON_ORIGINS." },
  not_found: { status: 404, means: "There is no such route." },
  unknown_connection: {
    status: 404,
    means: "No registration has this id: unknown, expired, deleted, or its socket has closed.",
  },
  unknown_topic: {
    status: 404,
    means: "No rule names the topic's prefix, and BATON_KNOWN_PREFIXES_ONLY is set.",
  },
  no_history: { status: 404, means: "The topic keeps no history." },
  not_available: { status: 404, means: "The relay or this topic does not have this feature." },
  method_not_allowed: { status: 405, means: "The route exists, but not with this method." },
  idempotency_conflict: {
    status: 409,
    means: "The idempotency key was used in this topic for another publication.",
  },
  already_subscribed: { status: 409, means: "The connection has this topic already." },
  unrecoverable_position: {
    status: 409,
    means: "The position is not of this life of the topic's history: its epoch is another.",
  },
  body_too_large: { status: 413, means: "The body is over BATON_BODY_BYTES." },
  message_too_large: { status: 413, means: "The message is over BATON_MESSAGE_BYTES of UTF-8." },
  batch_too_large: { status: 413, means: "More than 1,000 publications in one body." },
  unsupported_media_type: { status: 415, means: "The body is not plain application/json." },
  invalid_body: { status: 422, means: "The JSON has not the shape that the route takes." },
  invalid_query: { status: 422, means: "A query parameter has a value that it does not take." },
  invalid_topic: {
    status: 422,
    means: "A topic name is empty, too long or has forbidden characters.",
  },
  invalid_user: { status: 422, means: "user_id is not one of the allowed forms." },
  invalid_message: {
    status: 422,
    means: "The message is not well-formed Unicode, or data is nested too deeply.",
  },
  invalid_idempotency_key: {
    status: 422,
    means: "An idempotency key is not 1 to 255 visible ASCII characters.",
  },
  invalid_frame: { status: 422, means: "The frame is not a command of this protocol." },
  too_many_topics: { status: 422, means: "More topics than BATON_CONNECTION_TOPICS_MAX." },
  upgrade_required: { status: 426, means: "This address speaks WebSocket (version 13) only." },
  too_many_registrations: {
    status: 429,
    means: "BATON_REGISTRATIONS_MAX registrations are waiting.",
  },
  too_many_user_connections: { status: 429, means: "The user has BATON_USER_CONNECTIONS_MAX." },
  too_many_publications: {
    status: 429,
    means: "The engine is behind by BATON_PENDING_BYTES; publish more slowly.",
  },
  too_many_idempotency_keys: {
    status: 429,
    means: "The engine remembers BATON_IDEMPOTENCY_MAX keys.",
  },
  internal: { status: 500, means: "A fault of the relay; its log has the details." },
  too_many_connections: {
    status: 503,
    means: "The relay holds BATON_CONNECTIONS_MAX connections.",
  },
  shutting_down: { status: 503, means: "The relay is shutting down; another one may take over." },
  engine_unavailable: {
    status: 503,
    means:
      "The engine cannot be reached: nothing is acknowledged; try again with the same idempotency key.",
  },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** An expected "no": a value, never thrown by the relay. `message` says what is wrong and what is allowed. */
export class Refusal {
  readonly code: ErrorCode;
  readonly message: string;

  constructor(code: ErrorCode, message: string) {
    this.code = code;
    this.message = message;
  }
}

export function shuttingDown(): Refusal {
  return new Refusal(
    "shutting_down",
    "The relay is shutting down; try again in a moment, or at another node.",
  );
}

export function engineUnavailable(): Refusal {
  return new Refusal(
    "engine_unavailable",
    "The relay's engine cannot be reached: nothing is acknowledged. Try again in a moment, a publish with the same idempotency key: then it is published once.",
  );
}

export function unknownConnection(): Refusal {
  return new Refusal(
    "unknown_connection",
    "No registration has this id; it may have expired, been deleted or been used up. POST /register gives a new one.",
  );
}

export function tooManyRegistrations(most: number): Refusal {
  return new Refusal(
    "too_many_registrations",
    `${most} registrations wait for their clients to connect (BATON_REGISTRATIONS_MAX); try again when some have connected or expired.`,
  );
}

export function tooManyUserConnections(most: number): Refusal {
  return new Refusal(
    "too_many_user_connections",
    `This user has ${most} open connections, the most allowed (BATON_USER_CONNECTIONS_MAX); close or DELETE one first.`,
  );
}

/** The key was used for something else. */
export function keyConflict(): Refusal {
  return new Refusal(
    "idempotency_conflict",
    "This idempotency key was used in this topic for another publication; take a new key for each publication.",
  );
}

export function tooManyKeys(max: number): Refusal {
  return new Refusal(
    "too_many_idempotency_keys",
    `${max} idempotency keys are remembered, the most allowed (BATON_IDEMPOTENCY_MAX); try again when some have expired, or publish without one.`,
  );
}

export function tooManyConnections(most: number): Refusal {
  return new Refusal(
    "too_many_connections",
    `The relay holds as many connections as it may, ${most} (BATON_CONNECTIONS_MAX); try again later.`,
  );
}

export function notAvailable(): Refusal {
  return new Refusal("not_available", "The relay or this topic does not have this feature.");
}

export function tokenExpired(): Refusal {
  return new Refusal("token_expired", "The token's time is over; a new one is needed.");
}

/** What a client finds on the wire for a refusal, on HTTP and on a plain socket alike. */
export function errorBody(refusal: Refusal): { error: { code: ErrorCode; message: string } } {
  return { error: { code: refusal.code, message: refusal.message } };
}

/**
 * Why the relay closes a connection: WebSocket close code, reason (at most 123 bytes) and whether the
 * client should come back. 1001 is RFC 6455 section 7.4.1; 4000 to 4999 are the application's own.
 */
export const CLOSES = {
  shutdown: { code: 1001, reason: "shutting down", comeBack: true },
  internal: { code: 1011, reason: "internal error", comeBack: true },
  replaced: { code: 4001, reason: "replaced by a newer connection", comeBack: false },
  expired: { code: 4005, reason: "token expired", comeBack: true },
  slow_consumer: { code: 4008, reason: "slow consumer", comeBack: true },
  position_lost: { code: 4010, reason: "position lost", comeBack: true },
  no_pong: { code: 4012, reason: "no pong", comeBack: true },
  too_many_frames: { code: 4013, reason: "too many frames", comeBack: true },
  invalid_token: { code: 4500, reason: "invalid token", comeBack: false },
  violation: { code: 4501, reason: "bad request", comeBack: false },
  stale: { code: 4502, reason: "did not connect in time", comeBack: false },
  wrong_format: { code: 4506, reason: "only JSON is spoken here", comeBack: false },
  deleted: { code: 4503, reason: "registration deleted", comeBack: false },
  too_many_connections: { code: 4504, reason: "too many connections", comeBack: false },
  too_many_topics: { code: 4505, reason: "too many topics", comeBack: false },
  not_available: { code: 4508, reason: "not available", comeBack: false },
} as const;

export type CloseName = keyof typeof CLOSES;
