// The settings of webhooks, of the table in definitions.ts: who is told what happens in the relay, and what their requests are signed
// with. What cannot be meant is refused at the start, because a receiver that is told nothing, or cannot verify it, is noticed late.
import {
  flag,
  INT32_MAX,
  isWebUrl,
  itemsOf,
  prefixOf,
  readBy,
  type Setting,
  SettingError,
  whole,
} from "../kinds";

/** What a receiver can be told of. */
const WEBHOOK_TYPES = [
  "user.online",
  "user.offline",
  "user.joined",
  "user.left",
  "topic.occupied",
  "topic.vacated",
  "client.published",
  "client.slow",
  "publication.undelivered",
] as const;

type WebhookType = (typeof WEBHOOK_TYPES)[number];

// These two are types and not interfaces, so that the declarations of the package can spell out what the table of settings has of them.
/** Who is told of what. */
type WebhookReceiver = {
  readonly url: string;
  readonly types: readonly WebhookType[];
  /** How the names of the topics begin that count; without any, all do. */
  readonly prefixes: readonly string[];
};

/** What signs requests. */
type WebhookSecret = {
  readonly bytes: Uint8Array;
  /** The only host whose receivers have it, with its port unless that is the scheme's; undefined: all of those without one of their own. */
  readonly host: string | undefined;
};

const RECEIVERS_MAX = 10;
const SECRETS_MAX = 100;

/** The specification's bounds for a key: Standard Webhooks 1.0, "Signature scheme". */
const KEY_BYTES_MIN = 24;
const KEY_BYTES_MAX = 64;

const RECEIVER_FORM =
  "a URL, then what it wants: https://app.example.com/hooks types=topic.occupied+topic.vacated topics=news:+orders:";

const ABOUT_TYPES = `Types are ${WEBHOOK_TYPES.join(", ")}`;

const RECEIVERS: Setting<readonly WebhookReceiver[]> = {
  variable: "BATON_WEBHOOKS",
  inFile: "list",
  default: "",
  allowed: `a comma-separated list of at most ${RECEIVERS_MAX} receivers, each as ${RECEIVER_FORM}`,
  description: `Where your backend is told what happens, as Standard Webhooks. Each receiver is ${RECEIVER_FORM}. Without types= it gets all, and without topics= those of all topics. ${ABOUT_TYPES}. Requests are signed with BATON_WEBHOOK_SECRETS, and no redirect is followed. If it is not set, nobody is told.`,
  ...readBy(receiversOf),
};

const SECRETS: Setting<readonly WebhookSecret[]> = {
  variable: "BATON_WEBHOOK_SECRETS",
  secret: "lines",
  inFile: "list",
  default: "",
  allowed: `a comma-separated list of at most ${SECRETS_MAX} secrets, each as whsec_ and the base64 of ${KEY_BYTES_MIN} to ${KEY_BYTES_MAX} bytes`,
  description: `What requests to BATON_WEBHOOKS are signed with: whsec_ and the base64 of ${KEY_BYTES_MIN} to ${KEY_BYTES_MAX} random bytes, as echo "whsec_$(openssl rand -base64 32)" makes it. With several, each request has a signature of each, so that a receiver can go from one to another. With @ and a host behind it (whsec_…@app.example.com) it is only for the receivers there, which have no others then.`,
  ...readBy(secretsOf),
};

export const WEBHOOKS = {
  webhooks: RECEIVERS,
  webhookSecrets: SECRETS,
  offlineMs: whole({
    variable: "BATON_OFFLINE_MS",
    default: 10_000,
    min: 0,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How long a user may be without a connection before webhooks say that it is offline. The default is longer than a page takes to load again, or a phone to change its network.",
  }),
  webhooksWaitingMax: whole({
    variable: "BATON_WEBHOOKS_WAITING_MAX",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    unit: "events",
    description:
      "How many events may wait for each receiver of webhooks, of either kind, over all workers and nodes. Beyond that the newest are dropped and counted, and a receiver of Standard Webhooks is told how many are missing; Pusher's have no word for it.",
  }),
  webhooksPrivate: flag({
    variable: "BATON_WEBHOOKS_PRIVATE",
    description:
      "1 allows webhooks to addresses of this machine and of private networks. Otherwise those are refused, whatever a name means at the time.",
  }),
};

/** A receiver with the keys that sign its requests, at least one. */
export interface SignedReceiver extends WebhookReceiver {
  readonly keys: readonly Uint8Array[];
}

/** The receivers with their keys. Throws SettingError where one has none, or a secret is for nobody. */
export function signedReceivers(
  receivers: readonly WebhookReceiver[],
  secrets: readonly WebhookSecret[],
): readonly SignedReceiver[] {
  const hosts = receivers.map(({ url }) => new URL(url).host);
  const stray = secrets.find(({ host }) => host !== undefined && !hosts.includes(host));
  if (stray !== undefined) {
    throw new SettingError(
      `BATON_WEBHOOK_SECRETS has a secret for ${stray.host}, where BATON_WEBHOOKS has no receiver. Hosts are in lower case, with a port unless it is that of the scheme.`,
    );
  }
  return receivers.map((receiver, i) => {
    const own = secrets.filter(({ host }) => host === hosts[i]);
    const some = own.length > 0 ? own : secrets.filter(({ host }) => host === undefined);
    if (some.length === 0) {
      throw new SettingError(
        `BATON_WEBHOOKS has a receiver at ${hosts[i]}, but BATON_WEBHOOK_SECRETS has no secret for it: make one with echo "whsec_$(openssl rand -base64 32)".`,
      );
    }
    return { ...receiver, keys: some.map(({ bytes }) => bytes) };
  });
}

/** The receivers in a text, or what is wrong with it. */
function receiversOf(text: string): readonly WebhookReceiver[] | string {
  const entries = itemsOf(text);
  if (entries.length > RECEIVERS_MAX)
    return `has ${entries.length} receivers, of which there may be ${RECEIVERS_MAX}`;
  const receivers: WebhookReceiver[] = [];
  for (const [i, entry] of entries.entries()) {
    const which = `receiver ${i + 1} of its ${entries.length}`;
    const receiver = receiverOf(entry);
    if (typeof receiver === "string")
      return `must have receivers as ${RECEIVER_FORM}, but ${which} ${receiver}`;
    if (receivers.some(({ url }) => url === receiver.url))
      return `must name each receiver once, but ${which} has a URL that another has too`;
    receivers.push(receiver);
  }
  return receivers;
}

/** What is wrong ends the sentence "but receiver 1 …". */
function receiverOf(entry: string): WebhookReceiver | string {
  const [url = "", ...options] = entry.split(/\s+/);
  if (!isWebUrl(url)) return "does not begin with a URL of http:// or https://";
  let types: readonly WebhookType[] = WEBHOOK_TYPES;
  let prefixes: readonly string[] = [];
  for (const option of options) {
    const [, name, list = ""] = /^(types|topics)=(.+)$/.exec(option) ?? [];
    if (name === undefined)
      return `has ${JSON.stringify(option)}, and only types= and topics= may follow`;
    const items = list.split("+");
    if (name === "types") {
      const unknown = items.find((item) => !WEBHOOK_TYPES.some((type) => type === item));
      if (unknown !== undefined) return `wants ${JSON.stringify(unknown)}. ${ABOUT_TYPES}`;
      types = items as WebhookType[];
    } else {
      const decoded = items.map(prefixOf);
      const bad = decoded.indexOf(undefined);
      if (bad >= 0)
        return `has ${JSON.stringify(items[bad])} among the beginnings of its topics, where %2B, %2C, %20 and %25 stand for + , a blank and %`;
      prefixes = decoded as string[];
    }
  }
  return { url: new URL(url).href, types, prefixes };
}

/** The secrets in a text, or what is wrong with it, which shows no part of a secret. */
function secretsOf(text: string): readonly WebhookSecret[] | string {
  const entries = itemsOf(text);
  if (entries.length > SECRETS_MAX)
    return `has ${entries.length} secrets, of which there may be ${SECRETS_MAX}`;
  const secrets: WebhookSecret[] = [];
  for (const [i, entry] of entries.entries()) {
    const [, base64, host] = /^whsec_([A-Za-z\d+/]+={0,2})(?:@([\w.:[\]-]+))?$/.exec(entry) ?? [];
    const bytes = base64 === undefined ? undefined : bytesOf(base64);
    if (bytes === undefined) {
      return `must have secrets as whsec_ and the base64 of ${KEY_BYTES_MIN} to ${KEY_BYTES_MAX} bytes, which secret ${i + 1} of its ${entries.length} is not: some libraries verify nothing with any other text. Make one with echo "whsec_$(openssl rand -base64 32)"`;
    }
    secrets.push({ bytes, host });
  }
  return secrets;
}

function bytesOf(base64: string): Uint8Array | undefined {
  try {
    const bytes = Uint8Array.fromBase64(base64);
    return bytes.length >= KEY_BYTES_MIN && bytes.length <= KEY_BYTES_MAX ? bytes : undefined;
  } catch {
    return undefined;
  }
}
