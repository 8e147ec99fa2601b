// IP addresses and networks as texts. An IPv4 address is the IPv6 address that maps it (RFC 4291, section 2.5.5.2), so that
// one that arrives in either form is the same, and a network of either kind is a number of leading bits.

/** The eight groups of an IPv6 address, from the left. */
export type Ip = readonly number[];

/** Leading bits that addresses of a network have in common. */
export interface Network {
  readonly base: Ip;
  readonly bits: number;
}

const GROUPS = 8;
const MAPPED: readonly number[] = [0, 0, 0, 0, 0, 0xffff];
/** How many leading bits all IPv4 addresses have in common. */
const MAPPED_BITS = 96;

/** The longest address in either form, without a zone. */
const CHARACTERS_MAX = 45;

/** Undefined for a text that is not an address. A zone, such as that of fe80::1%eth0, is left out. */
export function parseIp(text: string): Ip | undefined {
  if (!text.includes(":")) return parseMapped(text);
  const zone = text.indexOf("%");
  const address = zone < 0 ? text : text.slice(0, zone);
  if (address.length > CHARACTERS_MAX) return undefined;
  const halves = address.split("::");
  if (halves.length > 2) return undefined;
  const [left, right] = halves.map(parseGroups);
  if (left === undefined) return undefined;
  if (halves.length === 1) return left.length === GROUPS ? left : undefined;
  if (right === undefined) return undefined;
  const missing = GROUPS - left.length - right.length;
  // "::" stands for one group at least. Only the end of an address may be in the form of IPv4.
  if (missing < 1 || halves[0]?.includes(".") === true) return undefined;
  return [...left, ...Array<number>(missing).fill(0), ...right];
}

function parseMapped(text: string): Ip | undefined {
  const bytes = parseBytes(text);
  return bytes && [...MAPPED, ...bytes];
}

/** The two groups that an IPv4 address fills. */
function parseBytes(text: string): readonly [number, number] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const bytes: number[] = [];
  for (let i = 1; i <= 4; i++) {
    const written = match[i] as string;
    const byte = Number(written);
    // Some programs read a leading zero as octal, so such an address is not one that everybody understands.
    if (byte > 255 || (written.length > 1 && written[0] === "0")) return undefined;
    bytes.push(byte);
  }
  const [a, b, c, d] = bytes as [number, number, number, number];
  return [a * 256 + b, c * 256 + d];
}

/** The groups of an IPv6 address on one side of "::". */
function parseGroups(text: string): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    if (/^[\da-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const bytes = i === parts.length - 1 ? parseBytes(part) : undefined;
    if (bytes === undefined) return undefined;
    groups.push(...bytes);
  }
  return groups;
}

/** Undefined for a text that is neither an address nor a network such as 10.0.0.0/8 or 2001:db8::/32. */
export function parseNetwork(text: string): Network | undefined {
  const [address = "", length, ...more] = text.split("/");
  const base = address.includes("%") ? undefined : parseIp(address);
  if (base === undefined || more.length > 0) return undefined;
  const isIpv4 = !address.includes(":");
  const longest = isIpv4 ? 32 : 128;
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return undefined;
  const bits = length === undefined ? longest : Number(length);
  if (bits > longest) return undefined;
  return { base, bits: isIpv4 ? MAPPED_BITS + bits : bits };
}

export function isInNetwork(ip: Ip, { base, bits }: Network): boolean {
  for (let i = 0, left = bits; left > 0; i++, left -= 16) {
    const different = (ip[i] as number) ^ (base[i] as number);
    if (left >= 16 ? different !== 0 : different >> (16 - left) !== 0) return false;
  }
  return true;
}

/** Whether all IPv4 addresses are in it, however it is written: 0.0.0.0/0, ::ffff:0:0/96 or ::/0. */
export function hasAllIpv4(network: Network): boolean {
  return network.bits <= MAPPED_BITS && isInNetwork([...MAPPED, 0, 0], network);
}

/**
 * Who counts as one client: an IPv4 address, or the network of 64 bits that an IPv6 address is in, since whoever has one
 * address of it has all of them (RFC 6177).
 */
export function clientOf(ip: Ip): string {
  for (let i = 0; i < MAPPED.length; i++) if (ip[i] !== MAPPED[i]) return networkOf(ip);
  const [high, low] = [ip[6] as number, ip[7] as number];
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

function networkOf(ip: Ip): string {
  const groups = ip.slice(0, 4).map((group) => group.toString(16));
  return `${groups.join(":")}::/64`;
}
