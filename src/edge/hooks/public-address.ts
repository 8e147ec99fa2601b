// Whether an address of the web may be called: not one of this machine or of a private network, whatever its name says now.
import { dns } from "bun";
import { type Ip, isInNetwork, type Network, parseIp, parseNetwork } from "../../relay/text/ip";

/** All of IPv4, and what of IPv6 is handed out to networks (RFC 4291, section 2.4): whatever else there will be is not public. */
const HANDED_OUT = networks("0.0.0.0/0", "2000::/3");

/** What of it is for special purposes (IANA's registries), multicast included. */
const SPECIAL = networks(
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/3",
  "2001::/23",
  "2002::/16",
);

/** How long a name may take to be looked up. */
const LOOKUP_MS = 5_000;

function networks(...texts: readonly string[]): readonly Network[] {
  return texts.map((text) => parseNetwork(text) as Network);
}

function isPublic(ip: Ip): boolean {
  const isIn = (network: Network) => isInNetwork(ip, network);
  return HANDED_OUT.some(isIn) && !SPECIAL.some(isIn);
}

/**
 * An address of the host, as it is written in a URL. Undefined when one of its addresses is not public, since any of them may be
 * chosen. Rejects when it has none, or when its name is not found within 5 seconds.
 */
export async function publicAddressOf(hostname: string): Promise<string | undefined> {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const addresses = parseIp(host) === undefined ? await addressesOf(host) : [host];
  const ips = addresses.map(parseIp);
  if (!ips.every((ip) => ip !== undefined && isPublic(ip))) return undefined;
  const [first] = addresses;
  return first?.includes(":") === true ? `[${first}]` : first;
}

async function addressesOf(name: string): Promise<string[]> {
  const late = Promise.withResolvers<never>();
  const reject = () => late.reject(new Error("its name could not be looked up in time"));
  const timer = setTimeout(reject, LOOKUP_MS);
  try {
    const found = await Promise.race([dns.lookup(name), late.promise]);
    return found.map(({ address }) => address);
  } finally {
    clearTimeout(timer);
  }
}
