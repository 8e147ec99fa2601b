// API keys: who may register, unregister and publish. Without keys everybody may.
import { createHash, timingSafeEqual } from "node:crypto";
import { Refusal } from "../../relay/contracts/errors";
import { Refused } from "../http/refusal";

const digest = (key: string): Buffer => createHash("sha256").update(key).digest();

/** Throws Refused (`unauthorized`) unless the request has one of the keys. Takes equally long for all. */
export type KeyCheck = (context: { readonly request: Request }) => undefined;

/** A check for a route, to run before its body is read. */
export function keyCheck(keys: readonly string[]): KeyCheck {
  if (keys.length === 0) return () => undefined;
  const digests = keys.map(digest);
  return ({ request }) => {
    // Digests are equally long, which timingSafeEqual asks for, and say nothing of the key's length.
    const given = digest(givenKey(request.headers));
    let found = false;
    for (const known of digests) found = timingSafeEqual(known, given) || found;
    if (found) return undefined;
    throw new Refused(
      new Refusal(
        "unauthorized",
        "Send one of the relay's API keys: X-API-Key: <key>, or Authorization: apikey <key>.",
      ),
    );
  };
}

function givenKey(headers: Headers): string {
  return (
    headers.get("x-api-key") ??
    /^apikey +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1] ??
    ""
  );
}
