// A refusal as an HTTP answer: one JSON form for every error of every route.
import { ERRORS, errorBody, Refusal } from "../../relay/contracts/errors";

/** Carries a refusal out of a handler or hook of Elysia. Nothing else in edge/ throws on purpose. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super(refusal.code);
    this.refusal = refusal;
  }
}

/** Gives the value back; throws Refused when it is a refusal. This is how a route's handler ends early. */
export function orThrow<Value>(value: Value | Refusal): Value {
  if (value instanceof Refusal) throw new Refused(value);
  return value;
}

/**
 * The refusal that an error of a handler is; undefined for a fault of ours. A body whose connection has ended before it had come whole is
 * none: anybody can hang up, and must neither fill the log nor count as a fault.
 */
export function refusalOf(error: unknown): Refusal | undefined {
  if (error instanceof Refused) return error.refusal;
  const isCutOff = error instanceof DOMException && error.name === "AbortError";
  return isCutOff
    ? new Refusal("bad_request", "The connection has ended before the body had come whole.")
    : undefined;
}

/** A check that a route runs before it reads the body. Throws Refused. */
export type BeforeHandle = (context: {
  readonly request: Request;
  readonly params?: { readonly topic?: string };
}) => undefined;

// Registrations and connections become free within seconds, and a shutdown takes about ten.
const RETRY_AFTER_S: Readonly<Record<number, string>> = { 429: "5", 503: "5" };

/** The answer to a refused request: status and body from the error table, and the headers that the status requires. */
export function refuse(
  refusal: Refusal,
  headers: Record<string, string> = {},
  status: number = ERRORS[refusal.code].status,
): Response {
  const retryAfter = refusal.retryS?.toString() ?? RETRY_AFTER_S[status];
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

/** The answer to a fault of the relay itself. Its text is fixed, since an error's own message may reveal too much. */
export function internal(): Refusal {
  return new Refusal("internal", "The relay failed to answer; its log has the details.");
}

/** The options of a Response that no cache may keep. */
export const NOT_STORED = { headers: { "cache-control": "no-store" } };

/** The same for one whose JSON is at hand as text. */
export const JSON_NOT_STORED = {
  headers: { ...NOT_STORED.headers, "content-type": "application/json" },
};

/** The options of a plain-text Response. */
export const TEXT = {
  headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
};
