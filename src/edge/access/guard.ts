// The first check of every request, before routing: that its Host cannot steer the router and its path can be decoded.
// It must run in front of Elysia, which would take the path of "http://a/x/admin" to be "/admin".
import { Refusal } from "../../relay/contracts/errors";

const HOST = /^(?:[\w.~-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i;

/** Refuses (`bad_request`) a request whose path a router could misread. */
export function guard({ headers, url }: Request): Refusal | undefined {
  const host = headers.get("host");
  // Two Host headers arrive joined by ", ", which does not match either.
  if (host !== null && !HOST.test(host)) {
    return new Refusal("bad_request", "The Host header is not a single valid host name.");
  }
  // Elysia searches for the path from the 12th character on, so a shorter host would shift the path.
  if (url.indexOf("/", 8) !== url.indexOf("/", 11)) {
    return new Refusal("bad_request", "The Host header must be at least 4 characters long.");
  }
  if (url.includes("%") && !isDecodable(url)) {
    return new Refusal(
      "bad_request",
      "The path is not percent-encoded UTF-8 (RFC 3986, section 2.5).",
    );
  }
  return undefined;
}

/** Elysia's router would throw on a path that cannot be decoded. */
function isDecodable(url: string): boolean {
  const query = url.indexOf("?");
  try {
    decodeURIComponent(query < 0 ? url : url.slice(0, query));
    return true;
  } catch {
    return false;
  }
}
