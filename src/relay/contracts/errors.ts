// The table of all errors: every refusal, over HTTP or a socket, is a row of it.
// A code that has been published must keep its name and its meaning.

/** Every error code with its HTTP status and its meaning; the OpenAPI page and docs/reference.md are made from it. */
export const ERRORS = {
  bad_request: {
    status: 400,
    means: "The HTTP request itself is malformed, for example its Host header.",
  },
  malformed_json: { status: 400, means: "The body or frame is not valid JSON in UTF-8." },
  unauthorized: { status: 401, means: "The API key is missing or wrong." },
  invalid_signature: { status: 401, means: "No app of BATON_PUSHER_APPS has signed the request." },
  token_expired: { status: 401, means: "The token has expired; the client needs a new one." },
  permission_denied: {
    status: 403,
    means: "The client may not do this with this topic: no rule and no token allows it.",
  },
  missing_scope: { status: 403, means: "The API key does not have the scope for this." },
  forbidden_origin: { status: 403, means: "BATON_ORIGINS does not list the page's origin." },
  backend_refused: { status: 403, means: "The backend was asked about this, and has refused it." },
  not_found: { status: 404, means: "There is no such route or API method." },
  unknown_connection: {
    status: 404,
    means:
      "No registration has this id: it never existed, has expired, was deleted, or its socket has closed.",
  },
  unknown_publication: { status: 404, means: "The topic has no publication with this offset yet." },
  unknown_device: { status: 404, means: "The user has no device with this id." },
  unknown_topic: {
    status: 404,
    means: "No rule names the topic's prefix, and BATON_KNOWN_PREFIXES_ONLY requires one.",
  },
  no_history: { status: 404, means: "The topic keeps no history." },
  not_available: { status: 404, means: "The relay or this topic does not offer this feature." },
  method_not_allowed: { status: 405, means: "The route exists, but not for this method." },
  too_many_members: { status: 403, means: "The topic has BATON_MEMBERS_MAX members already." },
  idempotency_conflict: {
    status: 409,
    means: "The idempotency key was already used in this topic for another publication.",
  },
  already_subscribed: { status: 409, means: "The connection has this topic already." },
  unrecoverable_position: {
    status: 409,
    means:
      "The topic's history cannot continue from this position: it has another epoch, or no longer reaches back so far.",
  },
  body_too_large: { status: 413, means: "The body is larger than BATON_BODY_BYTES." },
  push_too_large: { status: 413, means: "A push has more than 3,993 bytes of JSON." },
  message_too_large: { status: 413, means: "The message is larger than BATON_MESSAGE_BYTES." },
  member_too_large: { status: 413, means: "A member's info exceeds BATON_MEMBER_INFO_BYTES." },
  batch_too_large: { status: 413, means: "The body has more than 1,000 publications or commands." },
  unsupported_media_type: {
    status: 415,
    means: "The body is not declared as JSON in UTF-8, or it is compressed.",
  },
  invalid_body: { status: 422, means: "The JSON does not match the route's schema." },
  invalid_query: { status: 422, means: "A query parameter has a value that is not allowed." },
  invalid_topic: {
    status: 422,
    means: "A topic name is empty, too long, or has characters that are not allowed.",
  },
  undeclared_topic: {
    status: 422,
    means:
      "The application that Baton is a part of has declared its topics, and this is none of them.",
  },
  invalid_data: {
    status: 422,
    means:
      "The data is not what the application that Baton is a part of has declared for this topic.",
  },
  invalid_user: {
    status: 422,
    means:
      "user_id is neither a whole number from 0 to 9007199254740991 nor a text of 1 to 128 characters without control characters.",
  },
  invalid_message: {
    status: 422,
    means: "The message is not well-formed Unicode, or its data is nested too deeply.",
  },
  invalid_push: { status: 422, means: "A push is not for one user, or not what a push may be." },
  invalid_device: { status: 422, means: "A device is no subscription, or may not be called." },
  invalid_event: {
    status: 422,
    means:
      "The name of an event is empty, longer than 200 characters, has control characters, or is one that a protocol keeps for the relay's own events.",
  },
  invalid_idempotency_key: {
    status: 422,
    means:
      "An idempotency key is empty, longer than 1,024 bytes, or has control characters; in the header it is not 1 to 255 visible ASCII characters.",
  },
  invalid_frame: { status: 422, means: "The frame is not a command of this protocol." },
  too_many_topics: {
    status: 422,
    means: "A connection would have more topics than BATON_CONNECTION_TOPICS_MAX.",
  },
  upgrade_required: {
    status: 426,
    means: "This address only accepts WebSocket handshakes (version 13).",
  },
  too_many_registrations: {
    status: 429,
    means: "BATON_REGISTRATIONS_MAX registrations are waiting for their clients.",
  },
  too_many_user_connections: {
    status: 429,
    means: "The user already has BATON_USER_CONNECTIONS_MAX connections.",
  },
  too_many_address_connections: {
    status: 429,
    means: "The address of the client already has BATON_ADDRESS_CONNECTIONS_MAX connections.",
  },
  too_many_attempts: {
    status: 429,
    means:
      "The address of the client has tried to open more than BATON_ADDRESS_ATTEMPTS_MAX connections in a second.",
  },
  too_many_requests: {
    status: 429,
    means:
      "The address of the client has sent more than BATON_ADDRESS_REQUESTS_MAX requests in a second.",
  },
  too_many_key_requests: {
    status: 429,
    means: "More than BATON_KEY_REQUESTS_MAX requests were sent with this API key in a second.",
  },
  too_many_key_publications: {
    status: 429,
    means:
      "More than BATON_KEY_PUBLICATIONS_MAX publications were sent with this API key in a second.",
  },
  too_many_client_publications: {
    status: 429,
    means: "The client has sent more than BATON_CLIENT_PUBLICATIONS_MAX publications in a second.",
  },
  too_many_devices: { status: 429, means: "The user has BATON_USER_DEVICES_MAX devices." },
  too_many_pushes: { status: 429, means: "BATON_PUSHES_MAX publications with a push wait." },
  too_many_publications: {
    status: 429,
    means: "The engine is BATON_PENDING_BYTES behind; publish more slowly.",
  },
  too_many_streams: {
    status: 429,
    means: "BATON_PUBLISH_STREAMS_MAX requests that publish line by line are open.",
  },
  internal: { status: 500, means: "The relay has a fault; its log has the details." },
  too_many_connections: {
    status: 503,
    means: "The relay already has BATON_CONNECTIONS_MAX connections.",
  },
  too_many_relay_topics: {
    status: 503,
    means: "BATON_TOPICS_MAX topics have subscribers in this process.",
  },
  too_many_subscriptions: {
    status: 503,
    means: "The connections of this process have BATON_SUBSCRIPTIONS_MAX subscriptions.",
  },
  shutting_down: {
    status: 503,
    means: "The relay is shutting down; try again in a moment, or at another node.",
  },
  starting: {
    status: 503,
    means: "The relay is starting: not all of its workers serve yet; try again in a moment.",
  },
  engine_unavailable: {
    status: 503,
    means:
      "The engine cannot be reached, so nothing is acknowledged; try again with the same idempotency key.",
  },
  backend_busy: { status: 503, means: "Too many questions wait for the backend; try again soon." },
  backend_unavailable: { status: 503, means: "The backend could not be asked; the log says why." },
  keys_unavailable: {
    status: 503,
    means: "The keys at BATON_TOKEN_JWKS_URL cannot be fetched now, so no token can be checked.",
  },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** An expected error, as a value that the relay never throws. `message` says what is wrong and what is allowed. */
export class Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  /** In how many seconds the same may be allowed; undefined where that is not known. */
  readonly retryS: number | undefined;

  constructor(code: ErrorCode, message: string, retryS?: number) {
    this.code = code;
    this.message = message;
    this.retryS = retryS;
  }
}

export function shuttingDown(): Refusal {
  return new Refusal(
    "shutting_down",
    "The relay is shutting down. Try again in a moment, or at another node.",
  );
}

export function starting(): Refusal {
  return new Refusal("starting", "Not all of its workers serve yet. Try again in a moment.");
}

export function engineUnavailable(): Refusal {
  return new Refusal(
    "engine_unavailable",
    "The relay's engine cannot be reached, so nothing is acknowledged. Try again in a moment; a publish with the same idempotency key is published only once.",
  );
}

export function unknownConnection(): Refusal {
  return new Refusal(
    "unknown_connection",
    "No registration has this id. It may have expired, been deleted, or ended with its socket. POST /register makes a new one.",
  );
}

export function tooManyRegistrations(max: number): Refusal {
  return new Refusal(
    "too_many_registrations",
    `${max} registrations are waiting for their clients to connect, which is the most allowed (BATON_REGISTRATIONS_MAX). Try again when some of them have connected or expired.`,
  );
}

export function tooManyUserConnections(max: number): Refusal {
  return new Refusal(
    "too_many_user_connections",
    `This user has ${max} open connections, which is the most allowed (BATON_USER_CONNECTIONS_MAX). Close or DELETE one first.`,
  );
}

export function tooManyAddressConnections(max: number): Refusal {
  return new Refusal(
    "too_many_address_connections",
    `This address has ${max} open connections, which is the most allowed (BATON_ADDRESS_CONNECTIONS_MAX). Close one first.`,
  );
}

export function keyConflict(): Refusal {
  return new Refusal(
    "idempotency_conflict",
    "This idempotency key was already used in this topic for another publication. Use a new key for each publication.",
  );
}

export function tooManyConnections(max: number): Refusal {
  return new Refusal(
    "too_many_connections",
    `The relay has ${max} connections, which is the most allowed (BATON_CONNECTIONS_MAX). Try again later.`,
  );
}

export function notAvailable(): Refusal {
  return new Refusal("not_available", "The relay or this topic does not offer this feature.");
}

export function tokenExpired(): Refusal {
  return new Refusal("token_expired", "The token has expired. Get a new one.");
}

/** A refusal as clients receive it, over HTTP and on a plain socket alike. */
export function errorBody(refusal: Refusal): { error: { code: ErrorCode; message: string } } {
  return { error: { code: refusal.code, message: refusal.message } };
}
