// The settings of limits for those who are many or hostile, by address, of the table in definitions.ts.
import { parseNetwork } from "../relay/text/ip";
import { list, whole } from "./kinds";

/** More of anything than one process can do in a second. */
const PER_SECOND_MAX = 10_000_000;

export const CLIENT_LIMITS = {
  trustedProxies: list({
    variable: "BATON_TRUSTED_PROXIES",
    default: "",
    allowed:
      "a comma-separated list of addresses and networks such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, but not of all addresses",
    accepts: (item) => {
      const network = parseNetwork(item);
      return network !== undefined && !/\/0+$/.test(item);
    },
    description:
      "The proxies whose X-Forwarded-For says whom they have a request from; the limits for each address need it behind a proxy. If it is not set, the header does not count, and all clients of a proxy share its address.",
  }),
  addressConnectionsMax: whole({
    variable: "BATON_ADDRESS_CONNECTIONS_MAX",
    default: 0,
    min: 0,
    max: 10_000_000,
    unit: "connections",
    description:
      "How many connections one address may have open at once, over all workers unless the engine is Redis, where each process counts its own. An IPv6 address counts as its network of 64 bits. 0 sets no limit, because a whole company or mobile network may have one address.",
  }),
  addressAttemptsMax: whole({
    variable: "BATON_ADDRESS_ATTEMPTS_MAX",
    default: 0,
    min: 0,
    max: PER_SECOND_MAX,
    unit: "attempts",
    description:
      "How many connections one address may try to open in a second, in each process, whatever becomes of them. 0 sets no limit.",
  }),
  addressRequestsMax: whole({
    variable: "BATON_ADDRESS_REQUESTS_MAX",
    default: 0,
    min: 0,
    max: PER_SECOND_MAX,
    unit: "requests",
    description:
      "How many HTTP requests one address may send in a second, in each process. Those with an API key do not count. 0 sets no limit.",
  }),
};
