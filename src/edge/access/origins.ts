// Which pages may call the relay. It is asked before anything else, whatever the path: a page may send a form or plain
// text without asking, and CORS would only keep the answer from it. Browsers name the page's origin on handshakes and
// on all that is not GET; other clients need not.
import { Refusal } from "../../relay/contracts/errors";

/** Refuses (`forbidden_origin`) a page that is not among `origins`, exact ones or `*`. */
export type OriginCheck = (headers: Headers) => Refusal | undefined;

export function originCheck(origins: readonly string[]): OriginCheck {
  if (origins.includes("*")) return () => undefined;
  const allowed = new Set(origins);
  return (headers) => {
    // Two of them arrive joined by ", ", which is no origin.
    const origin = headers.get("origin");
    if (origin === null || allowed.has(origin)) return undefined;
    return new Refusal("forbidden_origin", "This page's origin is not in BATON_ORIGINS.");
  };
}
