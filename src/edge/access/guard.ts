// What is checked before routing, for every request: that its Host cannot steer the router, and its size.
// It runs in front of Elysia, which would take the path of "http://a/x/admin" to be "/admin".
import { Refusal } from "../../relay/contracts/errors";
import { refuse } from "../http/refusal";

const HOST = /^(?:[\w.~-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i;

/** A refusal (`bad_request`, `body_too_large`), or undefined for a request that may go on. */
export function guard(request: Request, bodyBytes: number): Response | undefined {
  const { headers, url } = request;
  const host = headers.get("host");
  // Two Host headers arrive joined by ", ", which is no host either.
  if (host !== null && !HOST.test(host)) {
    return refuse(new Refusal("bad_request", "The Host header is not one host name."));
  }
  // Elysia looks for the path from the 12th character on; a shorter host would shift it.
  if (url.indexOf("/", 8) !== url.indexOf("/", 11)) {
    return refuse(
      new Refusal("bad_request", "The Host header must be at least 4 characters long."),
    );
  }
  if (url.includes("%") && !isDecodable(url)) {
    return refuse(
      new Refusal("bad_request", "The path is not percent-encoded UTF-8 (RFC 3986, section 2.5)."),
    );
  }
  const length = headers.get("content-length");
  if (length !== null && Number(length) > bodyBytes) return refuse(bodyTooLarge(bodyBytes));
  return undefined;
}

/** Elysia's router would throw over a path that is not. */
function isDecodable(url: string): boolean {
  const query = url.indexOf("?");
  try {
    decodeURIComponent(query < 0 ? url : url.slice(0, query));
    return true;
  } catch {
    return false;
  }
}

export function bodyTooLarge(bodyBytes: number): Refusal {
  return new Refusal(
    "body_too_large",
    `A body may have at most ${bodyBytes} bytes (BATON_BODY_BYTES).`,
  );
}
