// Whose request it is: no client may choose the address that it counts as.
import { expect, test } from "bun:test";
import { ClientAddresses } from "../../../../src/edge/access/limits/client-addresses";
import { createLog } from "../../../../src/log";

const PROXIES = ["10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.1"];

/** What a request counts as that comes from `peer` with this header. */
function addressOf(peer: string, forwarded?: string, lines: string[] = []): string {
  const log = createLog("info", { write: (line) => void lines.push(line) });
  const addresses = new ClientAddresses(PROXIES, log);
  addresses.attach({ requestIP: () => ({ address: peer }) });
  const headers: Record<string, string> =
    forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
  return addresses.of(new Request("http://relay.test/", { headers }));
}

test("a request counts as its peer's, whose word for another does not count", () => {
  expect(addressOf("192.0.2.1")).toBe("192.0.2.1");
  expect(addressOf("192.0.2.1", "198.51.100.1")).toBe("192.0.2.1");
  expect(addressOf("::ffff:192.0.2.1", "198.51.100.1")).toBe("192.0.2.1");
  expect(addressOf("2001:db8:1:2:3:4:5:6", "198.51.100.1")).toBe("2001:db8:1:2::/64");
});

test("I18: behind a trusted proxy a request counts as that of the last address that is not a trusted proxy's", () => {
  expect(addressOf("10.1.2.3", "198.51.100.1")).toBe("198.51.100.1");
  expect(addressOf("::ffff:10.1.2.3", "198.51.100.1")).toBe("198.51.100.1");
  expect(addressOf("10.1.2.3", "203.0.113.9, 198.51.100.1")).toBe("198.51.100.1");
  expect(addressOf("10.1.2.3", "203.0.113.9, 198.51.100.1,10.9.9.9 , 2001:db8:ffff::1")).toBe(
    "198.51.100.1",
  );
  expect(addressOf("10.1.2.3", "2001:db8:1:2::3")).toBe("2001:db8:1:2::/64");
  // A client of the proxies' own network, such as a health check of theirs.
  expect(addressOf("10.1.2.3", "10.0.0.7, 10.0.0.8")).toBe("10.0.0.7");
  expect(addressOf("10.1.2.3")).toBe("10.1.2.3");
});

test("ports and brackets are left out of addresses", () => {
  expect(addressOf("10.1.2.3", "198.51.100.1:4711")).toBe("198.51.100.1");
  expect(addressOf("10.1.2.3", "[2001:db8:1:2::3]:4711")).toBe("2001:db8:1:2::/64");
  expect(addressOf("10.1.2.3", "[2001:db8:1:2::3]")).toBe("2001:db8:1:2::/64");
});

test("where an entry is not an address, the request counts as that of the proxy that passed it on", () => {
  for (const entry of [
    "unknown",
    "",
    " ",
    "_hidden",
    "1.2.3",
    "1.2.3.4:5:6",
    "[::1",
    "1.2.3.4]",
    "0x7f000001",
  ]) {
    expect([entry, addressOf("10.1.2.3", `198.51.100.1, ${entry}`)]).toEqual([entry, "10.1.2.3"]);
    expect([entry, addressOf("10.1.2.3", `198.51.100.1, ${entry}, 10.9.9.9`)]).toEqual([
      entry,
      "10.9.9.9",
    ]);
  }
  expect(addressOf("10.1.2.3", ",")).toBe("10.1.2.3");
  expect(addressOf("10.1.2.3", ",198.51.100.1")).toBe("198.51.100.1");
});

test("the log says once that a header does not count, because nobody has said that its sender is a proxy", () => {
  const lines: string[] = [];
  addressOf("192.0.2.1", undefined, lines);
  expect(lines).toEqual([]);
  addressOf("192.0.2.1", "198.51.100.1", lines);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("BATON_TRUSTED_PROXIES");
  expect(lines[0]).toContain("192.0.2.1");
});
