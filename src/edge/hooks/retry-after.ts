// How long a server that was called asks to be left alone.

/** What Retry-After says (RFC 9110, 10.2.3), seconds or a date, in ms from `now`, a Unix time in ms. Undefined where it says nothing. */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const text = headers.get("retry-after") ?? "";
  if (/^\d{1,9}$/.test(text)) return 1_000 * Number(text);
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
