// Whose request it is, by address: that of the peer or, where the peer is a trusted proxy, the one that the proxy says that it has
// the request from. No client must be able to choose the address that it counts as.
import type { Log } from "../../../log";
import {
  clientOf,
  type Ip,
  isInNetwork,
  type Network,
  parseIp,
  parseNetwork,
} from "../../../relay/text/ip";

/** A server that knows the peers of its requests. */
interface PeerServer {
  requestIP(request: Request): { readonly address: string } | null;
}

/** What a request counts as whose peer has gone. */
const UNKNOWN = "unknown";

/** Peers are few where proxies are in front, and looking one up costs a tenth of parsing it. */
const PEERS_MAX = 1_024;

interface Peer {
  readonly client: string;
  readonly isProxy: boolean;
}

export class ClientAddresses {
  readonly #proxies: readonly Network[];
  readonly #log: Log;
  /** By address as the server gives it. */
  readonly #peers = new Map<string, Peer>();
  #server: PeerServer | undefined;
  #hasWarned = false;

  /** `proxies` are addresses and networks, as BATON_TRUSTED_PROXIES has them. */
  constructor(proxies: readonly string[], log: Log) {
    this.#proxies = proxies.map(parseNetwork).filter((network) => network !== undefined);
    this.#log = log;
  }

  attach(server: PeerServer): void {
    this.#server = server;
  }

  /** What the request's client counts as: an IPv4 address, or a network such as 2001:db8:0:1::/64. */
  of(request: Request): string {
    const address = this.#server?.requestIP(request)?.address;
    if (address === undefined) return UNKNOWN;
    const peer = this.#peers.get(address) ?? this.#newPeer(address);
    if (!peer.isProxy) {
      if (!this.#hasWarned) this.#warnIfForwarded(request, peer);
      return peer.client;
    }
    const forwarded = request.headers.get("x-forwarded-for");
    return forwarded === null ? peer.client : this.#forwardedBy(peer, forwarded);
  }

  #newPeer(address: string): Peer {
    const ip = parseIp(address);
    const peer =
      ip === undefined
        ? { client: address, isProxy: false }
        : { client: clientOf(ip), isProxy: this.#isProxy(ip) };
    if (this.#peers.size >= PEERS_MAX) this.#peers.clear();
    this.#peers.set(address, peer);
    return peer;
  }

  #isProxy(ip: Ip): boolean {
    return this.#proxies.some((network) => isInNetwork(ip, network));
  }

  /**
   * Each proxy appends whom it has the request from, so the list is read from its end, for as long as its entries are trusted
   * proxies too: what stands before the first other one is the client's own word. Where an entry is not an address, the
   * request counts as that of the proxy that passed it on.
   */
  #forwardedBy(peer: Peer, forwarded: string): string {
    let client = peer.client;
    let end = forwarded.length;
    while (end >= 0) {
      const comma = forwarded.lastIndexOf(",", end - 1);
      const ip = parseEntry(forwarded.slice(comma + 1, end).trim());
      if (ip === undefined) return client;
      client = clientOf(ip);
      if (comma <= 0 || !this.#isProxy(ip)) return client;
      end = comma;
    }
    return client;
  }

  #warnIfForwarded({ headers }: Request, { client }: Peer): void {
    if (!headers.has("x-forwarded-for")) return;
    this.#hasWarned = true;
    this.#log.warn(
      { address: client },
      "X-Forwarded-For does not count, because BATON_TRUSTED_PROXIES does not name this address: if it is a proxy, all of its clients share the limits of one",
    );
  }
}

/** An address, or one with a port as some proxies write it: 192.0.2.1:4711, [2001:db8::1] or [2001:db8::1]:4711. */
function parseEntry(entry: string): Ip | undefined {
  if (entry[0] === "[") return parseIp(/^\[([^\]]+)\](?::\d{1,5})?$/.exec(entry)?.[1] ?? "");
  const colon = entry.indexOf(":");
  const isIpv4WithPort = colon > 0 && /^[\d.]+:\d{1,5}$/.test(entry);
  return parseIp(isIpv4WithPort ? entry.slice(0, colon) : entry);
}
