// Which web pages may call the relay. The check runs before everything else, whatever the path is: a page may send a
// form or plain text without a preflight, and CORS would only keep the answer from it. Browsers name the page's origin
// on handshakes and on every method other than GET; other clients need not send it.
import { Refusal } from "../../relay/contracts/errors";

/**
 * The origins whose pages may call the relay: those of the setting, and the relay's own, where /openapi is and which some
 * WebSocket libraries send. That its Host equals the Origin would prove nothing: with DNS rebinding, any page has both.
 */
export function allowedOrigins(origins: readonly string[], publicUrl: string): readonly string[] {
  if (publicUrl === "" || origins.includes("*")) return origins;
  return [...origins, new URL(publicUrl).origin];
}

/** Refuses (`forbidden_origin`) a page whose origin is not in `origins`, a list of exact origins or `*`. */
type OriginCheck = (headers: Headers) => Refusal | undefined;

export function originCheck(origins: readonly string[]): OriginCheck {
  if (origins.includes("*")) return () => undefined;
  const allowed = new Set(origins);
  return (headers) => {
    // Two Origin headers arrive joined by ", ", which is no origin.
    const origin = headers.get("origin");
    if (origin === null || allowed.has(origin)) return undefined;
    return new Refusal("forbidden_origin", "This page's origin is not in BATON_ORIGINS.");
  };
}
