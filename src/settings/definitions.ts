// The table of all settings: variable, default, unit, what is allowed, and what each is for.
// docs/reference.md is generated from it (`bun run reference`). read.ts reads the environment with it.
import type { RulesByPrefix } from "../relay/contracts/topic-rules";
import { checkTopic } from "../relay/text/checks";
import type { SourceDeclaration } from "../sources/declarations";
import { API_KEYS } from "./api-keys";
import { CLIENT_LIMITS } from "./client-limits";
import { COMMAND_LINE, CONSOLE } from "./console";
import { CONFIG_FILE } from "./files/config-file";
import { SOURCES } from "./files/sources-file";
import { type Certificate, TLS } from "./files/tls";
import { HISTORY } from "./history";
import { PROXY } from "./hooks/proxy";
import { type SignedReceiver, WEBHOOKS } from "./hooks/webhooks";
import {
  choice,
  FRAME_BYTES_MAX,
  flag,
  INT32_MAX,
  isListenAddress,
  isOrigin,
  list,
  matching,
  path,
  processes,
  publicUrl,
  type Setting,
  text,
  whole,
} from "./kinds";
import { PUSH } from "./push/push";
import { PUSHER } from "./pusher";
import { TOKENS } from "./tokens";

const ACCESS = {
  host: matching({
    variable: "HOST",
    default: "127.0.0.1",
    allowed: "an IP address or host name",
    accepts: (value) => /^[\w.:-]{1,253}$/.test(value),
    description:
      "The address to listen on. Any address other than loopback requires BATON_API_KEYS, because anyone who reaches it could publish.",
  }),
  port: whole({
    variable: "PORT",
    default: 8000,
    min: 0,
    max: 65_535,
    description: "The port to listen on. 0 picks a free one.",
  }),
  publicUrl: publicUrl({
    variable: "BATON_PUBLIC_URL",
    description:
      "The address at which clients reach the relay. POST /register builds the addresses that it returns from it; https:// becomes wss:// for a WebSocket. If it is not set, they are built from the Host of the request.",
  }),
  apiKeys: API_KEYS,
  insecure: flag({
    variable: "BATON_INSECURE",
    description:
      "1 allows an address other than loopback without keys. Use it only where something else protects the relay.",
  }),
  origins: list({
    variable: "BATON_ORIGINS",
    default: "*",
    allowed:
      "* or a comma-separated list of origins such as https://app.example.com, capacitor://localhost or null, in lower case and without a path, a default port or a pattern",
    accepts: isOrigin,
    description:
      "The origins whose pages may call the relay and open connections; pages of any other origin get 403, whatever they request. The origin of BATON_PUBLIC_URL is always allowed. Clients that send no Origin (almost anything but a browser) are not affected.",
  }),
};

const CONNECTIONS = {
  registrationTtlMs: whole({
    variable: "BATON_REGISTRATION_TTL_MS",
    default: 60_000,
    min: 1,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How long a registration waits for its client to connect. The default leaves time for a slow page to load.",
  }),
  registrationsMax: whole({
    variable: "BATON_REGISTRATIONS_MAX",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    unit: "registrations",
    description:
      "How many registrations may wait for their clients at once. Each takes about 0.3 KB.",
  }),
  connectionsMax: whole({
    variable: "BATON_CONNECTIONS_MAX",
    default: 0,
    min: 0,
    max: 10_000_000,
    unit: "connections",
    description:
      "How many connections may be open at once, over all workers. 0 means as many as the limit of open files allows, less a reserve for HTTP requests: a server without free descriptors cannot accept connections and busy-loops.",
  }),
  userConnectionsMax: whole({
    variable: "BATON_USER_CONNECTIONS_MAX",
    default: 100,
    min: 1,
    max: 1_000_000,
    unit: "connections",
    description:
      "How many connections one user may have open at once. A publish to a user costs in proportion to them.",
  }),
  connectionAnswerBytes: whole({
    variable: "BATON_CONNECTION_ANSWER_BYTES",
    default: 33_554_432,
    min: 65_536,
    max: INT32_MAX,
    unit: "bytes",
    description:
      "What the requests of one connection may make the relay send in a second: what it missed, histories, presence, and for its own publications, joins and leaves 128 bytes for each receiver. Requests beyond that wait for the next second, and nothing is lost. 32 MiB cost about a twentieth of a core.",
  }),
  connectionFramesMax: whole({
    variable: "BATON_CONNECTION_FRAMES_MAX",
    default: 20_000,
    min: 1,
    max: 10_000_000,
    unit: "frames",
    description:
      "How many frames and pings one connection may send in a second. In a frame with several commands each command counts, and every 8 newly joined topics count as one frame. 20,000 frames cost about a tenth of a core.",
  }),
  pingMs: whole({
    variable: "BATON_PING_MS",
    default: 25_000,
    min: 10,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "The time between pings. The default is below the 30 to 60 seconds after which proxies cut quiet connections. A client may ask for a shorter one with ?heartbeat=.",
  }),
  pongMs: whole({
    variable: "BATON_PONG_MS",
    default: 10_000,
    min: 10,
    max: INT32_MAX,
    unit: "milliseconds",
    description: "How long the relay waits for a pong before it considers the client gone.",
  }),
  keepAliveMs: whole({
    variable: "BATON_KEEP_ALIVE_MS",
    default: 75_000,
    min: 1_000,
    max: 250_000,
    unit: "milliseconds",
    description:
      "How long an HTTP connection stays open after an answer, at least, while no other request comes on it. The default is longer than the 60 seconds of most load balancers: a POST that one of them sends just when the relay closes the connection fails with 502. While such connections take more than half of the files that clients leave, it is 10 seconds.",
  }),
  shutdownDelayMs: whole({
    variable: "BATON_SHUTDOWN_DELAY_MS",
    default: 0,
    min: 0,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How long a relay that was told to end still serves, while GET /health and GET /health/ready answer 503. Set it to what your load balancer takes to notice, and it refuses nobody.",
  }),
  shutdownMs: whole({
    variable: "BATON_SHUTDOWN_MS",
    default: 8_000,
    min: 0,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "The time over which a shutdown spreads the closing of its connections. The default is within the 10 seconds that docker stop waits.",
  }),
};

const TOPICS = {
  defaultTopics: list({
    variable: "BATON_DEFAULT_TOPICS",
    default: "tech",
    allowed: "a comma-separated list of topic names, or - for no topics",
    accepts: (item) => checkTopic(item) === undefined,
    description: "The topics of a connection until it chooses its own.",
  }),
  connectionTopicsMax: whole({
    variable: "BATON_CONNECTION_TOPICS_MAX",
    default: 128,
    min: 1,
    max: 100_000,
    unit: "topics",
    description:
      "How many topics one connection may have. Each costs memory for the connection and for the topic.",
  }),
  topicsFile: path({
    variable: "BATON_TOPICS_FILE",
    description:
      "A JSON file with rules for topics, by the prefix of their names. If it is not set, all topics are alike.",
  }),
  knownPrefixesOnly: flag({
    variable: "BATON_KNOWN_PREFIXES_ONLY",
    description:
      "1 refuses Centrifuge and Pusher clients, and the server APIs of both, a topic such as news:a if no rule names the prefix up to the colon, so that a misspelt name is found.",
  }),
  waveMs: whole({
    variable: "BATON_WAVE_MS",
    default: 25,
    min: 0,
    max: 1_000,
    unit: "milliseconds",
    description:
      "The longest that a publication waits for others, to leave with them in one send for each connection. It waits only while several are published at once, and no longer than sending the last ones took. 0 lets each leave at once.",
  }),
};

const SIZES = {
  messageBytes: whole({
    variable: "BATON_MESSAGE_BYTES",
    default: 65_536,
    min: 1,
    max: 16_777_216,
    unit: "bytes",
    description: "The largest message, in UTF-8. Larger content is better sent as a link.",
  }),
  bodyBytes: whole({
    variable: "BATON_BODY_BYTES",
    default: 0,
    min: 0,
    max: 134_217_728,
    unit: "bytes",
    description:
      "The largest HTTP body. 0 means 1 MiB, or what the largest message takes when every character is escaped if that is more.",
  }),
  frameBytes: whole({
    variable: "BATON_FRAME_BYTES",
    default: 0,
    min: 0,
    max: FRAME_BYTES_MAX,
    unit: "bytes",
    description:
      "The largest frame that a client may send, at least 125. A larger one closes the socket with 1009, after which Centrifuge SDKs stay away. 0 means 256 KiB or, if that is more, what an SDK sends when it reconnects: 1,224 bytes for each of BATON_CONNECTION_TOPICS_MAX topics with its token, and a message.",
  }),
  publishStreamsMax: whole({
    variable: "BATON_PUBLISH_STREAMS_MAX",
    default: 64,
    min: 1,
    max: 100_000,
    unit: "requests",
    description:
      "How many requests that publish line by line may stay open at once in each process. A publisher needs one. Each takes a file, and up to BATON_BODY_BYTES while a line is incomplete.",
  }),
  publishIdleMs: whole({
    variable: "BATON_PUBLISH_IDLE_MS",
    default: 3_600_000,
    min: 1_000,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How long a request that publishes line by line may send nothing, or leave its answers unread. Then it is ended, because its publisher may have died without a sign. Empty lines count as a sign. A line that has begun must end within 10 seconds, as any other request must.",
  }),
  pendingBytes: whole({
    variable: "BATON_PENDING_BYTES",
    default: 67_108_864,
    min: 65_536,
    max: 2 ** 40,
    unit: "bytes",
    description:
      "How much the publications may take that the engine has not answered yet. Beyond that, publishes get 429. An engine that keeps up has about a hundredth of the default to answer.",
  }),
  backpressureBytes: whole({
    variable: "BATON_BACKPRESSURE_BYTES",
    default: 1_048_576,
    min: 1_024,
    max: INT32_MAX,
    unit: "bytes",
    description:
      "How much may wait for one slow connection, in addition to the kernel's buffers. Beyond that, the connection is closed, so that memory stays bounded.",
  }),
};

const PROCESS = {
  config: CONFIG_FILE,
  workers: processes({
    variable: "BATON_WORKERS",
    max: 1_024,
    description:
      "How many processes share the port; auto starts one for each core. They are one relay: any of them can serve any request.",
  }),
  logLevel: choice({
    variable: "BATON_LOG_LEVEL",
    default: "info",
    values: ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    description:
      "The lowest level that is logged. At debug, connections are logged one by one, and those publications that come with a traceparent header; other publications never are.",
  }),
  metricsListen: text({
    variable: "BATON_METRICS_LISTEN",
    allowed: "an address and a port, such as 127.0.0.1:9400 or [::1]:9400",
    accepts: isListenAddress,
    description:
      "Where GET /metrics is open to whoever reaches it, without a key; with workers, their supervisor listens there for all of them. GET /metrics of the relay's own address needs a key like the API, whether or not this is set.",
  }),
};

/** The settings under the headings of docs/reference.md. */
export const SETTING_GROUPS: Readonly<Record<string, Readonly<Record<string, Setting<unknown>>>>> =
  {
    "Addresses and access": ACCESS,
    TLS,
    "Tokens of clients": TOKENS,
    "Questions to the backend": PROXY,
    Webhooks: WEBHOOKS,
    "Pusher protocol": PUSHER,
    "Web Push": PUSH,
    "Connections and registrations": CONNECTIONS,
    "Limits against floods": CLIENT_LIMITS,
    Topics: TOPICS,
    "History and engine": HISTORY,
    Sources: SOURCES,
    Sizes: SIZES,
    Process: PROCESS,
    Console: CONSOLE,
    "Command line": COMMAND_LINE,
  };

/** All settings by the names that the code uses. */
export const SETTINGS = {
  ...ACCESS,
  ...TLS,
  ...TOKENS,
  ...PROXY,
  ...WEBHOOKS,
  ...PUSHER,
  ...PUSH,
  ...CONNECTIONS,
  ...CLIENT_LIMITS,
  ...TOPICS,
  ...HISTORY,
  ...SOURCES,
  ...SIZES,
  ...PROCESS,
  ...CONSOLE,
  ...COMMAND_LINE,
};

/** The values of all settings, each as its variable or its default says. */
export type SettingValues = {
  readonly [Name in keyof typeof SETTINGS]: NonNullable<
    ReturnType<(typeof SETTINGS)[Name]["parse"]>
  >;
};

/** All settings, checked, with what follows from them. */
export interface Settings extends SettingValues {
  /** The share of `connectionsMax`, which counts over all workers, that one process may have. */
  readonly processConnectionsMax: number;
  /** How many files each process may open. */
  readonly descriptors: number;
  /** Variables that begin with BATON_ and are no settings: most likely misspelt. */
  readonly unknownVariables: readonly string[];
  /** Whether the page /console is there. */
  readonly hasConsole: boolean;
  /** The rules in the file that BATON_TOPICS_FILE names. */
  readonly topicRules: RulesByPrefix;
  /** Those of BATON_WEBHOOKS, with what their requests are signed with. */
  readonly webhookReceivers: readonly SignedReceiver[];
  /** What the file that BATON_SOURCES_FILE names declares. */
  readonly sources: readonly SourceDeclaration[];
  /** What the files of BATON_TLS_CERT and BATON_TLS_KEY hold. */
  readonly certificate: Certificate | undefined;
}
