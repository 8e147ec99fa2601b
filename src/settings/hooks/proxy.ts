// The settings about questions to the backend, of the table in definitions.ts. Addresses are secrets, since many have a password or key
// in them.
import type { RulesByPrefix } from "../../relay/contracts/topic-rules";
import {
  choice,
  flag,
  INT32_MAX,
  isWebUrl,
  list,
  readBy,
  type Setting,
  SettingError,
  text,
  whole,
} from "../kinds";
import { type StatusAnswers, statusAnswersOf } from "./status-answers";

/** What the relay or HTTP sets, or what is only for the next hop (RFC 9110, section 7.6.1). */
const NEVER_PASSED =
  /^(?:connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|host|expect|content-.*|accept-encoding|sec-websocket-.*)$/;

const NAME = /^[!#$%&'*+.^_`|~\w-]{1,128}$/;

const NAMES =
  "a comma-separated list of at most 32 names of headers, without those that are for one hop only";

const NAMES_MAX = 32;

function isPassable(name: string): boolean {
  return NAME.test(name) && !NEVER_PASSED.test(name.toLowerCase());
}

function headerNames(variable: string, description: string): Setting<readonly string[]> {
  const form = { default: "", allowed: NAMES, accepts: isPassable, max: NAMES_MAX };
  const names = list({ variable, description, ...form });
  return {
    ...names,
    parse(written) {
      const given = names.parse(written)?.map((name) => name.toLowerCase());
      return given && [...new Set(given)];
    },
  };
}

const VALUE = /^[\x20-\x7e]{0,8192}$/;

/** Reads a JSON text by a function that returns what it says, or what is wrong with it. The empty text says nothing. */
function readByJson<Read extends object>(read: (value: unknown) => Read | string) {
  return readBy((written) => {
    if (written === "") return {} as Read;
    let value: unknown;
    try {
      value = JSON.parse(written);
    } catch {
      return "is not JSON";
    }
    return read(value);
  });
}

/** The headers in a JSON object, or what is wrong with it, which shows no value. */
function headersOf(value: unknown): Readonly<Record<string, string>> | string {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return "must be a JSON object of names and values";
  const headers: Record<string, string> = {};
  for (const [name, one] of Object.entries(value)) {
    if (!isPassable(name))
      return `has the name ${JSON.stringify(name.slice(0, 128))}, which is not allowed`;
    if (typeof one !== "string" || !VALUE.test(one))
      return `has a value for ${name} that is not a text of visible ASCII characters`;
    headers[name.toLowerCase()] = one;
  }
  return Object.keys(headers).length <= NAMES_MAX ? headers : `has more than ${NAMES_MAX} headers`;
}

function address(variable: string, description: string): Setting<string> {
  const allowed = "an http:// or https:// address";
  return text({ variable, secret: "text", allowed, accepts: isWebUrl, description });
}

export const PROXY = {
  proxyConnect: address(
    "BATON_PROXY_CONNECT",
    "Where the backend is asked who a client is that connects without a token, as Centrifugo's proxy asks it. A private address is allowed here and in the other addresses, since only you set them. Once it is set, clients of sessions may do only what rules, tokens or the backend allow. If it is not set, nobody is asked.",
  ),
  proxyRefresh: address(
    "BATON_PROXY_REFRESH",
    "Where the backend is asked whether a connection goes on that would expire. Clients are not told then that it expires.",
  ),
  proxySubscribe: address(
    "BATON_PROXY_SUBSCRIBE",
    'Where the backend is asked whether a client may subscribe to a topic. It and the next three hold for all topics, or methods, unless a rule of BATON_TOPICS_FILE names another address, or "" for none.',
  ),
  proxySubRefresh: address(
    "BATON_PROXY_SUB_REFRESH",
    "Where the backend is asked whether a subscription goes on that would expire.",
  ),
  proxyPublish: address(
    "BATON_PROXY_PUBLISH",
    "Where the backend is asked whether a client may publish to a topic, and what.",
  ),
  proxyRpc: address(
    "BATON_PROXY_RPC",
    "Where the backend answers what Centrifuge clients call (rpc). Rules name addresses for methods that begin with their prefix.",
  ),
  proxyHeaders: headerNames(
    "BATON_PROXY_HEADERS",
    "Which headers of a client's request are passed on to the backend, such as Authorization,Cookie. Cookie needs BATON_ORIGINS to be a list, because any page could connect with its visitors' cookies otherwise.",
  ),
  proxyEmulatedHeaders: headerNames(
    "BATON_PROXY_EMULATED_HEADERS",
    "Which headers a client's program may give in its connect command, because pages cannot set them. Pass on only what the backend checks itself, such as Authorization: no proxy in front of the relay can take these out.",
  ),
  proxyStaticHeaders: {
    variable: "BATON_PROXY_STATIC_HEADERS",
    secret: "text",
    inFile: "string",
    default: "",
    allowed: 'a JSON object such as {"X-Api-Key":"…"}',
    description:
      "Headers that the backend is sent with every question, so that it knows that the relay asks. None of them may be passed on from clients too.",
    ...readByJson(headersOf),
  } satisfies Setting<Readonly<Record<string, string>>>,
  proxyStatusAnswers: {
    variable: "BATON_PROXY_STATUS_ANSWERS",
    inFile: "string",
    default: "",
    allowed:
      'a JSON array such as [{"status_code":403,"to_error":{"code":403,"message":"permission denied"}}]',
    description:
      "What a status other than 200 means, as Centrifugo's status_to_code_transforms: to_error, which a client is told, or to_disconnect, which closes its connection. Any other status is a backend that could not be asked. Where it is asked whether something goes on (refresh, sub_refresh), this does not hold.",
    ...readByJson(statusAnswersOf),
  } satisfies Setting<StatusAnswers>,
  proxyTimeoutMs: whole({
    variable: "BATON_PROXY_TIMEOUT_MS",
    default: 1_000,
    min: 10,
    max: 30_000,
    unit: "milliseconds",
    description: "How long the backend may take to answer one question.",
  }),
  proxyCallsMax: whole({
    variable: "BATON_PROXY_CALLS_MAX",
    default: 64,
    min: 1,
    max: 200,
    unit: "requests",
    description:
      "How many questions each process asks one address at once, over connections that it keeps. Bun has at most 256 requests under way in a process, to all addresses. When 10,000 clients come back and an answer takes 20 ms, the default asks about all of them in 3 seconds.",
  }),
  proxyWaitingMax: whole({
    variable: "BATON_PROXY_WAITING_MAX",
    default: 20_000,
    min: 0,
    max: 1_000_000,
    unit: "requests",
    description:
      "How many more questions may wait for each address in each process. What is over it is answered with a temporary error, so that SDKs come back by themselves.",
  }),
  proxyWaitMs: whole({
    variable: "BATON_PROXY_WAIT_MS",
    default: 3_000,
    min: 10,
    max: 60_000,
    unit: "milliseconds",
    description:
      "How long a question may wait before it is answered with a temporary error. With BATON_PROXY_TIMEOUT_MS it should be less than the 5 seconds after which SDKs give up by themselves.",
  }),
  proxyAnswerBytes: whole({
    variable: "BATON_PROXY_ANSWER_BYTES",
    default: 1_048_576,
    min: 1_024,
    max: 16_777_216,
    unit: "bytes",
    description: "The largest answer of the backend that is read.",
  }),
  proxyShareMs: whole({
    variable: "BATON_PROXY_SHARE_MS",
    default: 1_000,
    min: 0,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How long the answer to a connect counts for other clients that show the same Authorization or Cookie and say the same. 0 asks about each of them.",
  }),
  proxyFailure: choice({
    variable: "BATON_PROXY_FAILURE",
    default: "refuse",
    values: ["refuse", "admit"],
    description:
      "What happens while the backend is slow or down. refuse answers with a temporary error; admit lets clients connect as the anonymous user (registered ones as their own), subscribe and publish, and only calls (rpc) are refused. What the backend does answer is never overruled.",
  }),
  proxyMeta: flag({
    variable: "BATON_PROXY_META",
    description:
      "1 tells the backend with later questions the meta that it has given a connection, or its token has.",
  }),
  proxyBinary: flag({
    variable: "BATON_PROXY_BINARY",
    description:
      "1 sends clients' data to the backend in base64 (b64data), as Centrifugo's binary_encoding.",
  }),
};

/** Throws SettingError with the line to show. */
export function checkProxy(settings: {
  readonly proxyConnect: string;
  readonly proxyRefresh: string;
  readonly proxySubscribe: string;
  readonly proxyPublish: string;
  readonly proxySubRefresh: string;
  readonly proxyRpc: string;
  readonly topicRules: RulesByPrefix;
  readonly proxyHeaders: readonly string[];
  readonly proxyEmulatedHeaders: readonly string[];
  readonly proxyStaticHeaders: Readonly<Record<string, string>>;
  readonly origins: readonly string[];
}): void {
  const { proxyHeaders, proxyEmulatedHeaders, proxyStaticHeaders, origins } = settings;
  const both = [...proxyHeaders, ...proxyEmulatedHeaders].find((name) =>
    Object.hasOwn(proxyStaticHeaders, name),
  );
  if (both !== undefined) {
    throw new SettingError(
      `BATON_PROXY_STATIC_HEADERS has ${both}, which clients may set too (BATON_PROXY_HEADERS, BATON_PROXY_EMULATED_HEADERS): it can stand in one of them only.`,
    );
  }
  const names = [...proxyHeaders, ...proxyEmulatedHeaders, ...Object.keys(proxyStaticHeaders)];
  const addresses = [
    settings.proxyConnect,
    settings.proxyRefresh,
    ...[asksOf(settings), ...Object.values(settings.topicRules)].flatMap(addressesOf),
  ];
  if (names.includes("authorization") && addresses.some(hasUser)) {
    throw new SettingError(
      "An address of the backend has a user and a password, which it is sent as Authorization, and so is that of clients (BATON_PROXY_HEADERS, BATON_PROXY_EMULATED_HEADERS) or of BATON_PROXY_STATIC_HEADERS: there can be one. Show who the relay is by another header in BATON_PROXY_STATIC_HEADERS.",
    );
  }
  if (proxyHeaders.includes("cookie") && origins.includes("*")) {
    throw new SettingError(
      "BATON_PROXY_HEADERS passes on Cookie, which is not allowed with BATON_ORIGINS=*: any page could connect with the cookies of whoever visits it. Set BATON_ORIGINS to the origins of your pages.",
    );
  }
}

function addressesOf(asks: Partial<ReturnType<typeof asksOf>>): readonly (string | undefined)[] {
  return [asks.askSubscribe, asks.askPublish, asks.askRefresh, asks.askCall];
}

function hasUser(address: string | undefined): boolean {
  return address?.includes("@") === true && new URL(address).username !== "";
}

/** Whom the relay asks about topics that no rule of a file names somebody for. */
export function asksOf(settings: {
  readonly proxySubscribe: string;
  readonly proxyPublish: string;
  readonly proxySubRefresh: string;
  readonly proxyRpc: string;
}) {
  return {
    askSubscribe: settings.proxySubscribe,
    askPublish: settings.proxyPublish,
    askRefresh: settings.proxySubRefresh,
    askCall: settings.proxyRpc,
  };
}
