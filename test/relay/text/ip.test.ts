// Addresses and networks, compared with what Node's own functions make of them.
import { describe, expect, test } from "bun:test";
import { BlockList, isIP } from "node:net";
import fc from "fast-check";
import { clientOf, isInNetwork, parseIp, parseNetwork } from "../../../src/relay/text/ip";

const clientOfText = (text: string): string | undefined => {
  const ip = parseIp(text);
  return ip && clientOf(ip);
};

const group = fc.integer({ min: 0, max: 0xffff }).map((number) => number.toString(16));
const ipv4 = fc
  .array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 })
  .map((bytes) => bytes.join("."));
const ipv6 = fc.oneof(
  fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(":")),
  fc
    .tuple(fc.array(group, { maxLength: 4 }), fc.array(group, { maxLength: 3 }))
    .map(([left, right]) => `${left.join(":")}::${right.join(":")}`),
  ipv4.map((address) => `::ffff:${address}`),
);
/** Texts that are nearly addresses. */
const nearly = fc
  .array(fc.constantFrom("1", "0", "255", "256", "ffff", "10000", ":", "::", ".", "g", " ", "1:"), {
    maxLength: 12,
  })
  .map((parts) => parts.join(""));

test("parseIp() takes exactly the texts that node:net takes for addresses", () => {
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6, nearly), (text) => {
      expect(parseIp(text) !== undefined).toBe(isIP(text) !== 0);
    }),
    { numRuns: 2_000 },
  );
});

test("an address is in the networks that node:net finds it in", () => {
  fc.assert(
    fc.property(ipv4, ipv4, fc.integer({ min: 0, max: 32 }), (address, base, bits) => {
      const list = new BlockList();
      list.addSubnet(base, bits, "ipv4");
      const network = parseNetwork(`${base}/${bits}`);
      if (network === undefined) throw new Error("no network");
      expect(isInNetwork(parseIp(address) ?? [], network)).toBe(list.check(address, "ipv4"));
    }),
  );
  fc.assert(
    fc.property(ipv6, ipv6, fc.integer({ min: 0, max: 128 }), (address, base, bits) => {
      const list = new BlockList();
      list.addSubnet(base, bits, "ipv6");
      const network = parseNetwork(`${base}/${bits}`);
      if (network === undefined) throw new Error("no network");
      expect(isInNetwork(parseIp(address) ?? [], network)).toBe(list.check(address, "ipv6"));
    }),
  );
});

describe("a client", () => {
  test("is an IPv4 address, in whichever form it comes", () => {
    for (const text of [
      "192.0.2.7",
      "::ffff:192.0.2.7",
      "::FFFF:c000:207",
      "0:0:0:0:0:ffff:c000:207",
    ]) {
      expect(clientOfText(text)).toBe("192.0.2.7");
    }
  });

  test("is the network of 64 bits that an IPv6 address is in", () => {
    expect(clientOfText("2001:db8:0:1::1")).toBe("2001:db8:0:1::/64");
    expect(clientOfText("2001:0DB8:0000:0001:ffff:ffff:ffff:ffff")).toBe("2001:db8:0:1::/64");
    expect(clientOfText("2001:db8:0:2::1")).toBe("2001:db8:0:2::/64");
    expect(clientOfText("::1")).toBe("0:0:0:0::/64");
    expect(clientOfText("fe80::1%eth0")).toBe("fe80:0:0:0::/64");
  });
});

test("parseNetwork() takes addresses and networks, and nothing else", () => {
  for (const text of ["10.0.0.0/8", "127.0.0.1", "::1", "2001:db8::/32", "::ffff:10.0.0.0/104"]) {
    expect([text, parseNetwork(text)]).not.toEqual([text, undefined]);
  }
  const wrong = [
    "",
    "10/8",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "::/129",
    "::1%eth0",
    "10.0.0.0/-1",
    "a",
  ];
  for (const text of wrong) expect([text, parseNetwork(text)]).toEqual([text, undefined]);
});
