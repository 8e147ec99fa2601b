// What replies and pushes of the Centrifuge protocol say, in both of its forms. The comments name sections of
// docs/centrifuge-protocol.md.
import type { Subscribed } from "../../relay/contracts/commands";

/** Members that are false, 0 or empty are left out ("Replies and errors"). */
interface Expiry {
  readonly expires?: true;
  readonly ttl?: number;
}

/** The parts of a subscribe result that are neither lists nor JSON. */
interface SubscribeFields extends Expiry {
  readonly recoverable?: true;
  readonly positioned?: true;
  readonly epoch?: string;
  readonly offset?: number;
  readonly was_recovering?: true;
  readonly recovered?: true;
  readonly delta?: true;
}

/** The protocol has 32 bits for a ttl, and the SDK for Go refuses a reply with more. It is 68 years. */
const TTL_S_MAX = 2 ** 31 - 1;

/** In whole seconds; what expires has at least one left. */
export function expiry(ttl: number | undefined): Expiry {
  if (ttl === undefined) return {};
  return { expires: true, ttl: Math.min(Math.max(1, Math.ceil(ttl)), TTL_S_MAX) };
}

/** How often a client is pinged, in whole seconds. */
export function pingSeconds(pingMs: number): number {
  return Math.ceil(pingMs / 1000);
}

/** A subscribe result ("Subscribing"). The client continues from `offset`: what it missed comes after it. */
export function subscribeFields({ top, at, recovered, ttl, form }: Subscribed): SubscribeFields {
  const position = top && { epoch: top.epoch, offset: at?.offset ?? top.offset };
  return {
    ...expiry(ttl),
    ...(position && { recoverable: true, positioned: true, ...position }),
    ...(recovered !== undefined && { was_recovering: true }),
    ...(recovered === true && { recovered: true }),
    ...(form === "deltas" && { delta: true }),
  };
}
