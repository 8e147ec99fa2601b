// Every setting: its variable, bounds, default and reason. The only reader of the environment.
// A wrong value stops the start with one line that names the variable, the value and what is allowed.

import type { RulesByPrefix } from "../relay/contracts/topic-rules";
import { checkTopic } from "../relay/text/checks";
import { checkTogether, connectionLimits } from "./checks";
import {
  choice,
  type Env,
  flag,
  isEngine,
  isOrigin,
  LARGE,
  list,
  matching,
  path,
  processes,
  publicUrl,
  readSetting,
  type Setting,
  SettingError,
  whole,
} from "./kinds";
import { descriptorLimit } from "./open-files";
import { TOKEN_SETTINGS } from "./token-settings";
import { readTopicsFile } from "./topics-file";

/** All settings, in the order in which the README lists them. */
export const SETTINGS = {
  host: {
    variable: "HOST",
    fallback: "127.0.0.1",
    takes: "an IP address or host name",
    about: "Address to listen on. Another than loopback needs BATON_API_KEYS.",
    parse: (text: string) => (/^[\w.:-]{1,253}$/.test(text) ? text : undefined),
  },
  port: whole("PORT", 8000, 0, 65_535, "Port to listen on; 0 takes a free one."),
  publicUrl: publicUrl(
    "BATON_PUBLIC_URL",
    "Where clients reach the relay, for the addresses that POST /register gives: https:// becomes wss://. Not set: the request's Host.",
  ),
  apiKeys: list(
    "BATON_API_KEYS",
    "",
    "keys without commas or spaces",
    "Keys that open what the backend does: register, unregister, publish, history, presence, users and /api; several, so that one can be replaced. Not set: open to all, on loopback only.",
    (item) => /^[\x21-\x7e]{1,512}$/.test(item),
  ),
  ...TOKEN_SETTINGS,
  insecure: flag(
    "BATON_INSECURE",
    "1 allows another address than loopback without keys, where something else protects the relay.",
  ),
  origins: list(
    "BATON_ORIGINS",
    "*",
    "* or origins like https://app.example.com",
    "Pages that may call the relay and open sockets; others get 403, whatever they ask for. Clients that send no Origin, so no browsers, are not concerned.",
    isOrigin,
  ),
  defaultTopics: list(
    "BATON_DEFAULT_TOPICS",
    "tech",
    "topic names",
    "Topics of a connection until it chooses its own; - for none.",
    (item) => checkTopic(item) === undefined,
  ),
  registrationTtlMs: whole(
    "BATON_REGISTRATION_TTL_MS",
    60_000,
    1,
    LARGE,
    "How long a registration waits for its client to connect: time for a slow page to load.",
  ),
  registrationsMax: whole(
    "BATON_REGISTRATIONS_MAX",
    100_000,
    1,
    10_000_000,
    "Registrations that wait at once, about 0.3 KB each.",
  ),
  connectionsMax: whole(
    "BATON_CONNECTIONS_MAX",
    0,
    0,
    10_000_000,
    "Connections at once. 0: what the process's descriptor limit allows, less a reserve for HTTP. Out of descriptors a server can only spin.",
  ),
  userConnectionsMax: whole(
    "BATON_USER_CONNECTIONS_MAX",
    100,
    1,
    1_000_000,
    "Connections of one user at once: a publish to a user costs in proportion to them.",
  ),
  connectionTopicsMax: whole(
    "BATON_CONNECTION_TOPICS_MAX",
    128,
    1,
    100_000,
    "Topics of one connection: each costs memory on both sides of the registry.",
  ),
  connectionFramesMax: whole(
    "BATON_CONNECTION_FRAMES_MAX",
    20_000,
    1,
    10_000_000,
    "What one connection may send in a second: frames and pings, and where one frame has several, its commands, and its new topics by eights. 20,000 frames cost about a tenth of a core.",
  ),
  messageBytes: whole(
    "BATON_MESSAGE_BYTES",
    65_536,
    1,
    16_777_216,
    "Size of a message in UTF-8: larger things travel better as a link.",
  ),
  pendingBytes: whole(
    "BATON_PENDING_BYTES",
    67_108_864,
    65_536,
    2 ** 40,
    "What publications may take that the engine has not answered yet; beyond it publishes get 429. An engine that keeps up has a hundredth of the default.",
  ),
  bodyBytes: whole(
    "BATON_BODY_BYTES",
    0,
    0,
    134_217_728,
    "Size of an HTTP body. 0: 1 MiB, or what the largest message takes with every character escaped.",
  ),
  frameBytes: whole(
    "BATON_FRAME_BYTES",
    65_536,
    125,
    16_777_216,
    "Size of a frame from a client; a larger one closes the socket with 1009.",
  ),
  backpressureBytes: whole(
    "BATON_BACKPRESSURE_BYTES",
    1_048_576,
    1_024,
    LARGE,
    "What may wait for one slow connection, beside the kernel's buffers; beyond it that connection is closed, so that memory stays bounded.",
  ),
  pingMs: whole(
    "BATON_PING_MS",
    25_000,
    10,
    LARGE,
    "Pause between pings: below the 30 to 60 s after which proxies cut quiet connections.",
  ),
  pongMs: whole(
    "BATON_PONG_MS",
    10_000,
    10,
    LARGE,
    "How long a pong may take before the peer counts as gone.",
  ),
  shutdownMs: whole(
    "BATON_SHUTDOWN_MS",
    8_000,
    0,
    LARGE,
    "Over how long a shutdown spreads the closing of its connections: within the 10 s that docker stop waits.",
  ),
  historySize: whole(
    "BATON_HISTORY_SIZE",
    100,
    0,
    1_000_000,
    "Publications kept for each topic, so that a client which comes back gets what it missed; 0 keeps none.",
  ),
  historyTtlMs: whole(
    "BATON_HISTORY_TTL_MS",
    300_000,
    0,
    LARGE,
    "How long each is kept: longer than clients are usually away; 0 keeps none.",
  ),
  historyBytes: whole(
    "BATON_HISTORY_BYTES",
    268_435_456,
    65_536,
    2 ** 40,
    "What the histories of all topics may take, in memory or in the file of the engine; beyond it those of the least recently used topics are given up.",
  ),
  engine: matching(
    "BATON_ENGINE",
    "memory",
    "memory, sqlite:<file> or redis://<host>:<port>, several of the last separated by commas",
    isEngine,
    "Where publications, idempotency keys and registrations are kept: in memory until the process ends; in a file, durable on this machine; or in Redis, for several nodes. Over several Redis servers topics are spread; every node must have the same list.",
  ),
  redisPrefix: matching(
    "BATON_REDIS_PREFIX",
    "baton",
    "1 to 64 letters, digits, dots, dashes and underscores",
    (value) => /^[\w.-]{1,64}$/.test(value),
    "What Baton's keys and channels in Redis begin with: nodes with the same are one relay, and others can use the same server.",
  ),
  workers: processes(
    "BATON_WORKERS",
    1_024,
    "Processes that share the port, one for each core with auto. They are one relay: any of them takes any call.",
  ),
  topicsFile: path(
    "BATON_TOPICS_FILE",
    "JSON file with rules for topics by the prefix of their names. Not set: the same for all topics.",
  ),
  knownPrefixesOnly: flag(
    "BATON_KNOWN_PREFIXES_ONLY",
    "1: a topic like news:a, whose prefix up to the colon no rule names, is an error for Centrifuge clients and /api, so that a misspelt one is found.",
  ),
  idempotencyMs: whole(
    "BATON_IDEMPOTENCY_MS",
    300_000,
    1,
    LARGE,
    "How long the answer to a publish with an idempotency key is remembered: longer than a publisher retries.",
  ),
  idempotencyMax: whole(
    "BATON_IDEMPOTENCY_MAX",
    100_000,
    1,
    10_000_000,
    "Idempotency keys remembered at once, about 0.5 KB each; beyond it publishes with a new key get 429.",
  ),
  logLevel: choice(
    "BATON_LOG_LEVEL",
    "info",
    ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    "Least level that is logged. Nothing is logged for each message; connections at debug.",
  ),
} as const satisfies Record<string, Setting<unknown>>;

type Values = {
  readonly [Name in keyof typeof SETTINGS]: NonNullable<
    ReturnType<(typeof SETTINGS)[Name]["parse"]>
  >;
};

/** All settings, checked, with their defaults filled in. */
export interface Settings extends Values {
  /** Of `connectionsMax`, which is over all workers, what one process may hold. */
  readonly processConnectionsMax: number;
  /** Variables that begin with BATON_ and mean nothing: most likely misspelt. */
  readonly unknownVariables: readonly string[];
  /** What the file of BATON_TOPICS_FILE says. */
  readonly topicRules: RulesByPrefix;
}

/**
 * Reads and checks all settings. Empty means not set.
 * Throws SettingError with the line to show. `descriptors` is the process's limit of open files.
 */
export function readSettings(env: Env, descriptors = descriptorLimit()): Settings {
  const values = Object.fromEntries(
    Object.entries(SETTINGS).map(([name, setting]) => [name, readSetting<unknown>(setting, env)]),
  ) as unknown as Values;
  const known = new Set<string>(Object.values(SETTINGS).map((setting) => setting.variable));
  const settings = {
    ...values,
    ...connectionLimits(values.connectionsMax, descriptors, values.workers),
    bodyBytes: values.bodyBytes || Math.max(1_048_576, 6 * values.messageBytes + 4_096),
    topicRules: topicRules(values.topicsFile),
    unknownVariables: Object.keys(env).filter((key) => /^BATON_/.test(key) && !known.has(key)),
  };
  checkTogether(settings);
  return settings;
}

function topicRules(file: string): RulesByPrefix {
  if (file === "") return {};
  const rules = readTopicsFile(file);
  if (typeof rules !== "string") return rules;
  throw new SettingError(`BATON_TOPICS_FILE=${JSON.stringify(file)} is not allowed: ${rules}`);
}
