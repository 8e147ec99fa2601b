// The numbers of the Centrifuge protocol, in both of its forms: with which code a connection ends, and what a command is
// refused with. The comments name sections of docs/centrifuge-protocol.md.
import { BackendRefusal } from "../../relay/contracts/backend/questions";
import type { ErrorCode, Refusal } from "../../relay/contracts/errors";
import type { CloseName } from "../../relay/contracts/protocol";

/**
 * SDKs reconnect after 3000 to 3499, and not after 3500 to 3999 ("Disconnects"). No reason is empty, because the
 * JavaScript SDK would ignore the code then.
 */
export const CLOSES: Readonly<Record<CloseName, { code: number; reason: string }>> = {
  shutdown: { code: 3001, reason: "shutdown" },
  internal: { code: 3004, reason: "internal server error" },
  expired: { code: 3005, reason: "connection expired" },
  subscription_expired: { code: 3006, reason: "subscription expired" },
  slow_consumer: { code: 3008, reason: "slow" },
  position_lost: { code: 3010, reason: "insufficient state" },
  replaced: { code: 3011, reason: "force reconnect" },
  // Centrifugo ends it with 3501, after which centrifuge-go stays away for good, although it was itself in a hurry (0.12.1).
  not_connected: { code: 3011, reason: "force reconnect" },
  no_pong: { code: 3012, reason: "no pong" },
  too_many_frames: { code: 3013, reason: "too many requests" },
  too_many_bytes: { code: 3013, reason: "too many requests" },
  invalid_token: { code: 3500, reason: "invalid token" },
  violation: { code: 3501, reason: "bad request" },
  stale: { code: 3502, reason: "stale" },
  deleted: { code: 3503, reason: "force disconnect" },
  too_many_connections: { code: 3504, reason: "connection limit" },
  too_many_topics: { code: 3505, reason: "channel limit" },
  not_available: { code: 3508, reason: "not available" },
};

const TOO_MANY = { code: 111, message: "too many requests", temporary: true } as const;

/** The errors of the protocol, by our own codes. An SDK tries again after 109 and after those that are temporary. */
const ERRORS: Partial<Record<ErrorCode, { code: number; message: string; temporary?: true }>> = {
  unauthorized: { code: 101, message: "unauthorized" },
  unknown_topic: { code: 102, message: "unknown channel" },
  undeclared_topic: { code: 102, message: "unknown channel" },
  backend_refused: { code: 103, message: "permission denied" },
  backend_busy: TOO_MANY,
  permission_denied: { code: 103, message: "permission denied" },
  missing_scope: { code: 103, message: "permission denied" },
  already_subscribed: { code: 105, message: "already subscribed" },
  member_too_large: { code: 106, message: "limit exceeded" },
  too_many_members: { code: 106, message: "limit exceeded" },
  too_many_topics: { code: 106, message: "limit exceeded" },
  invalid_topic: { code: 107, message: "bad request" },
  invalid_body: { code: 107, message: "bad request" },
  invalid_idempotency_key: { code: 107, message: "bad request" },
  // The payload of the protobuf form may be any bytes, so its users have to be told.
  malformed_json: { code: 107, message: "bad request: data must be JSON in UTF-8" },
  idempotency_conflict: { code: 107, message: "bad request" },
  invalid_message: { code: 107, message: "bad request" },
  invalid_data: { code: 107, message: "bad request" },
  message_too_large: { code: 106, message: "limit exceeded" },
  not_available: { code: 108, message: "not available" },
  not_found: { code: 104, message: "method not found" },
  no_history: { code: 108, message: "not available" },
  token_expired: { code: 109, message: "token expired" },
  unrecoverable_position: { code: 112, message: "unrecoverable position" },
  too_many_user_connections: { code: 106, message: "limit exceeded" },
  too_many_address_connections: TOO_MANY,
  too_many_client_publications: TOO_MANY,
  too_many_key_publications: TOO_MANY,
  too_many_relay_topics: TOO_MANY,
  too_many_subscriptions: TOO_MANY,
  too_many_publications: TOO_MANY,
};
const INTERNAL = { code: 100, message: "internal server error", temporary: true } as const;

interface ProtocolError {
  readonly code: number;
  readonly message: string;
  readonly temporary?: true;
}

/** The error of the protocol for a refusal; the server API answers with it too. */
export function errorOf({ code }: Refusal): ProtocolError {
  return ERRORS[code] ?? INTERNAL;
}

/** What the application has declared is known to its programmers alone, so these are told what is wrong. */
const EXPLAINED: ReadonlySet<ErrorCode> = new Set(["undeclared_topic", "invalid_data"]);

/** The error as a client gets it. */
export function clientError(refusal: Refusal): ProtocolError {
  if (refusal instanceof BackendRefusal) {
    const { code, message, temporary } = refusal.own;
    return { code, message, ...(temporary && { temporary }) };
  }
  const error = errorOf(refusal);
  if (!EXPLAINED.has(refusal.code)) return error;
  return { ...error, message: `${error.message}: ${refusal.message}` };
}
