// The trace that a request belongs to, as its header traceparent says (W3C Trace Context, section 3.2).

/** Version, trace id, parent id and flags. Later versions may add more after them, which version 00 does not have. */
const TRACEPARENT =
  /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:(?<!^00.*)-[\x21-\x7e]{1,200})?$/;

/** Undefined where the header is missing or is not valid: such a request belongs to no trace. */
export function traceparentOf(headers: Headers): string | undefined {
  const value = headers.get("traceparent");
  return value !== null && TRACEPARENT.test(value) ? value : undefined;
}
