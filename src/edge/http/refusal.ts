// A refusal as an HTTP answer: one JSON form for every error of every route.
import { ERRORS, errorBody, Refusal } from "../../relay/contracts/errors";

/** Carries a refusal out of a hook or handler of Elysia; nothing else in the edge throws on purpose. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.code);
    this.refusal = refusal;
  }
}

/** The value, or a Refused error when there is none: the way out of a route's handler. */
export function granted<Value>(value: Value | Refusal): Value {
  if (value instanceof Refusal) throw new Refused(value);
  return value;
}

// When to try again: registrations and connections come free within seconds, a shutdown takes about ten.
const RETRY_AFTER_S: Readonly<Record<number, string>> = { 429: "5", 503: "5" };

/** The answer to a refused request: status and body by the error table, and what the status calls for. */
export function refuse(refusal: Refusal, headers: Record<string, string> = {}): Response {
  const { status } = ERRORS[refusal.code];
  const retryAfter = RETRY_AFTER_S[status];
  return Response.json(errorBody(refusal), {
    status,
    headers: {
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(retryAfter !== undefined && { "retry-after": retryAfter }),
      // The rest of the body is unread, so the connection cannot be used again (RFC 9110, 15.5.14).
      ...(status === 413 && { connection: "close" }),
      ...(status === 401 && { "www-authenticate": 'apikey realm="baton"' }),
      ...(status === 426 && { upgrade: "websocket", "sec-websocket-version": "13" }),
      ...headers,
    },
  });
}

/** The answer when the fault is ours: fixed text, since an error's own message may tell too much. */
export function refuseInternal(): Response {
  return refuse(new Refusal("internal", "The relay had a fault; its log has the details."));
}

/** What a text answer goes out with. */
export const TEXT = {
  headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
};
