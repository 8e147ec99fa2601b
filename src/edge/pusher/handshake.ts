// Opens the sockets of Pusher clients. A client whose key or version is not known gets a socket all the same, with an error and a close:
// it does not notice a refused upgrade, and would try again for ever.
import type { Refusal } from "../../relay/contracts/errors";
import type { Authority } from "../../relay/contracts/tokens";
import type { Relay } from "../../relay/relay";
import { pathOf, searchOf } from "../access/address";
import type { AddressLimits } from "../access/limits/address-limits";
import { newSocketId } from "../access/random-ids";
import type { Sockets } from "../transports/sockets";
import { AppAuthority, closedAuthority } from "./app-authority";
import type { PusherApps } from "./apps";
import type { PusherFormat } from "./names";

/** They differ in nothing that the relay has to know. */
const VERSIONS: readonly (string | null)[] = ["5", "6", "7", null];

const PATH = "/app/";

interface PusherHandshakeOptions {
  readonly relay: Relay;
  readonly sockets: Sockets;
  readonly addressLimits: AddressLimits;
  readonly apps: PusherApps;
  readonly format: PusherFormat;
  /** How many events a client may send in a second; 0: any number. */
  readonly clientEventsMax: number;
}

/** Undefined means that the request has become a socket. */
export type PusherHandshake = (request: Request) => Refusal | undefined;

export function pusherHandshake(options: PusherHandshakeOptions): PusherHandshake {
  const { relay, sockets, addressLimits, apps, format, clientEventsMax } = options;
  const { protocol, codes, kindOf } = format;
  const shared = { apps, kindOf, publicationsMax: clientEventsMax };
  const authorityOf = (url: string): Authority => {
    const key = pathOf(url).slice(PATH.length);
    if (apps.byKey(key) === undefined) {
      return closedAuthority(codes.noSuchApp, "There is no app with this key (BATON_PUSHER_APPS).");
    }
    if (!VERSIONS.includes(new URLSearchParams(searchOf(url)).get("protocol"))) {
      return closedAuthority(
        codes.otherVersion,
        "The relay speaks versions 5 to 7 of the protocol.",
      );
    }
    return new AppAuthority(key, shared);
  };
  return (request) => {
    const authority = authorityOf(request.url);
    const headers = sockets.passedHeaders(request.headers);
    return sockets.openSession(request, addressLimits, (address) =>
      relay.admission.admitTo(authority, newSocketId(), protocol, address, headers),
    );
  };
}
