// The settings of limits for those who are many or hostile, of the table in definitions.ts.
import { hasAllIpv4, parseNetwork } from "../relay/text/ip";
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
      return network !== undefined && !hasAllIpv4(network);
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
  keyRequestsMax: whole({
    variable: "BATON_KEY_REQUESTS_MAX",
    default: 0,
    min: 0,
    max: PER_SECOND_MAX,
    unit: "requests",
    description:
      "How many HTTP requests may be sent with one API key in a second, in each process. 0 sets no limit.",
  }),
  keyPublicationsMax: whole({
    variable: "BATON_KEY_PUBLICATIONS_MAX",
    default: 0,
    min: 0,
    max: PER_SECOND_MAX,
    unit: "publications",
    description:
      "How many publications may be sent with one API key in a second, in each process, one by one, in arrays or in batches. A request that publishes line by line is read no faster. 0 sets no limit.",
  }),
  clientPublicationsMax: whole({
    variable: "BATON_CLIENT_PUBLICATIONS_MAX",
    default: 0,
    min: 0,
    max: PER_SECOND_MAX,
    unit: "publications",
    description:
      "How many publications one Centrifuge client may send in a second, where it may publish. 0 sets no limit but that of frames.",
  }),
  connectionBytesMax: whole({
    variable: "BATON_CONNECTION_BYTES_MAX",
    default: 67_108_864,
    min: 0,
    max: 2 ** 40,
    unit: "bytes",
    description:
      "How much one connection may send in a second, in all of its frames; beyond that it is closed. Reading 64 MiB takes about a third of a core, and no client has so much to say. 0 sets no limit.",
  }),
  membersMax: whole({
    variable: "BATON_MEMBERS_MAX",
    default: 100,
    min: 1,
    max: 100_000,
    unit: "members",
    description:
      "How many users can be members of one topic at once, over all nodes. Each who comes is sent the list of all, and all are told of each, so a thousand who come at once cost a hundred times as much as a hundred.",
  }),
  memberInfoBytes: whole({
    variable: "BATON_MEMBER_INFO_BYTES",
    default: 1_024,
    min: 0,
    max: 1_048_576,
    unit: "bytes",
    description:
      "How much a member of a topic may say of itself. Each who comes is sent this of every member.",
  }),
  topicsMax: whole({
    variable: "BATON_TOPICS_MAX",
    default: 1_000_000,
    min: 0,
    max: 1_000_000_000,
    unit: "topics",
    description:
      "How many topics may have subscribers at once, in each process. Each takes 1 to 2 KB. 0 sets no limit.",
  }),
  subscriptionsMax: whole({
    variable: "BATON_SUBSCRIPTIONS_MAX",
    default: 10_000_000,
    min: 0,
    max: 1_000_000_000,
    unit: "subscriptions",
    description:
      "How many subscriptions all connections may have together, in each process. Each takes about 0.2 KB. 0 sets no limit.",
  }),
};
