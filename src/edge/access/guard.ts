// The first check of every request, before routing: that its Host cannot steer the router and its path can be decoded.
// It must run in front of Elysia, which would take the path of "http://a/x/admin" to be "/admin".
import { Refusal } from "../../relay/contracts/errors";

// One uri-host with an optional port (RFC 9110, section 7.2). It is empty where the client knows no name.
const HOST = /^(?:(?:[\w.~-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{0,5})?)?$/i;

/** The address that the router sees in place of one that it would misread. No route looks at its host. */
const PLAIN_ADDRESS = "http://127.0.0.1";

/**
 * Refuses (`bad_request`) a request whose path a router could misread. Where only the host is at fault, because it is
 * short or missing, the request is given another `url` with the same path.
 */
export function guard(request: Request): Refusal | undefined {
  if (!isHost(request.headers.get("host"))) {
    return new Refusal("bad_request", "The Host header is not a single valid host name.");
  }
  const { url } = request;
  if (url.includes("%") && !isDecodable(url)) {
    return new Refusal(
      "bad_request",
      "The path is not percent-encoded UTF-8 (RFC 3986, section 2.5).",
    );
  }
  // Elysia searches for the path from the 12th character on, so a shorter host would shift the path. Without a host, as
  // HTTP/1.0 allows, Bun's `url` is the path alone, as it came in.
  const begin = url[0] === "/" ? 0 : url.indexOf("/", 8);
  if (begin === url.indexOf("/", 11)) return undefined;
  // The parser takes the steps "." and ".." out of the path, which Bun has done where there is a host.
  const value = new URL(PLAIN_ADDRESS + url.slice(begin)).href;
  // A new Request could not become a socket, so this one gets a property that hides Bun's own.
  Object.defineProperty(request, "url", { value });
  return undefined;
}

/** Whether a Host header is missing, or a single valid host name. */
export function isHost(host: string | null): boolean {
  // Two Host headers arrive joined by ", ", which does not match either.
  return host === null || HOST.test(host);
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
