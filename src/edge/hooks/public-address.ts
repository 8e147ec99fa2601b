// Whether an address of the web may be called: not one of this machine or of a private network, whatever its name says now.
import { dns } from "bun";
import { type Ip, isInNetwork, type Network, parseIp, parseNetwork } from "../../relay/text/ip";

/** Not public (IANA's registries of special-purpose addresses), multicast included. */
const PRIVATE = [
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
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "2002::/16",
  "fc00::/7",
  "fe80::/9",
  "ff00::/8",
].map((text) => parseNetwork(text) as Network);

function isPublic(ip: Ip): boolean {
  return !PRIVATE.some((network) => isInNetwork(ip, network));
}

/**
 * An address of the host, as it is written in a URL. Undefined when one of its addresses is not public, since any of them may be
 * chosen. Rejects when it has none.
 */
export async function publicAddressOf(hostname: string): Promise<string | undefined> {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const addresses =
    parseIp(host) === undefined ? (await dns.lookup(host)).map(({ address }) => address) : [host];
  const ips = addresses.map(parseIp);
  if (!ips.every((ip) => ip !== undefined && isPublic(ip))) return undefined;
  const [first] = addresses;
  return first?.includes(":") === true ? `[${first}]` : first;
}
