// The settings of the Pusher protocol, of the table in definitions.ts: without apps, the relay does not speak it.
import { INT32_MAX, isWebUrl, itemsOf, list, readBy, type Setting, whole } from "./kinds";

/** What clients and server libraries of the Pusher protocol know the relay by. */
export interface PusherApp {
  readonly id: string;
  /** Not a secret: every client has it. */
  readonly key: string;
  readonly secret: string;
}

/** Python's library takes digits only, and Node's reads an id as a number. */
const ID = /^\d{1,20}$/;

/** It stands in the path of a socket, and in front of a colon in signatures. */
const KEY = /^[\w.~-]{1,128}$/;

const SECRET = /^[\x21-\x7e]{1,512}$/;

const APPS_MAX = 1_000;

const FORM = "id:key:secret, such as 1:app-key:app-secret";

const PUSHER_APPS: Setting<readonly PusherApp[]> = {
  variable: "BATON_PUSHER_APPS",
  secret: "lines",
  inFile: "list",
  default: "",
  allowed: `a comma-separated list of at most ${APPS_MAX} apps, each as ${FORM}`,
  description: `The apps of the Pusher protocol, as id:key:secret. Clients open /app/<key>, and backends sign their requests to /apps/<id> with the secret. Ids have digits only, and keys letters, digits and -._~ only. All apps have the same topics, so several of them let you replace a secret without an interruption, and are no wall between tenants. Once there is one, topics whose names begin with private- or presence- need a signature of the backend, or a token or registration that names them. If it is not set, the relay does not speak the Pusher protocol.`,
  ...readBy(appsOf),
};

/** What a webhook can be sent for. */
const WEBHOOK_EVENTS: readonly string[] = [
  "channel_occupied",
  "channel_vacated",
  "member_added",
  "member_removed",
  "client_event",
  "cache_miss",
  "subscription_count",
];

const WEBHOOKS_MAX = 10;

const WEBHOOKS = list({
  variable: "BATON_PUSHER_WEBHOOKS",
  default: "",
  allowed: `a comma-separated list of at most ${WEBHOOKS_MAX} URLs that begin with http:// or https://`,
  accepts: isWebUrl,
  max: WEBHOOKS_MAX,
  description:
    "Where webhooks of the Pusher protocol are sent, signed with the secret of the first app. Each event is tried for 5 minutes, with growing pauses, and no redirect is followed. If it is not set, nobody is told.",
});

export const PUSHER = {
  pusherApps: PUSHER_APPS,
  pusherWebhooks: WEBHOOKS,
  pusherWebhookEvents: list({
    variable: "BATON_PUSHER_WEBHOOK_EVENTS",
    default: WEBHOOK_EVENTS.join(","),
    allowed: `a comma-separated list of ${WEBHOOK_EVENTS.join(", ")}`,
    accepts: (name) => WEBHOOK_EVENTS.includes(name),
    description:
      "What webhooks are sent for. A channel is vacated, and a member removed, when none has come back for 3 s.",
  }),
  pusherSubscriptionCountsMs: whole({
    variable: "BATON_PUSHER_SUBSCRIPTION_COUNTS_MS",
    default: 0,
    min: 0,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How often the Pusher clients of a channel are told how many subscribers it has, and webhooks of subscription_count are sent, where the number has changed. Channels of more than 100 are told every 5 seconds at most. Clients of encrypted channels are not told. In each such time each process asks all others about all of their topics. 0 tells nobody.",
  }),
  pusherActivityMs: whole({
    variable: "BATON_PUSHER_ACTIVITY_MS",
    default: 120_000,
    min: 1_000,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "After how long a silence pusher-js asks whether the relay is alive, in whole seconds. It counts what it receives, but not the relay's own pings, and takes 120 seconds at most. Idle clients send one frame in each such time.",
  }),
  pusherClientEventsMax: whole({
    variable: "BATON_PUSHER_CLIENT_EVENTS_MAX",
    default: 10,
    min: 0,
    max: 10_000_000,
    unit: "events",
    description:
      "How many events of its own one Pusher client may send in a second; each goes to everybody in its channel. Beyond that each is answered with an error. 0 sets no limit.",
  }),
};

/** The apps in a text, or what is wrong with it, which shows no part of a secret. */
function appsOf(text: string): readonly PusherApp[] | string {
  const entries = itemsOf(text);
  if (entries.length > APPS_MAX)
    return `has ${entries.length} apps, of which there may be ${APPS_MAX}`;
  const apps: PusherApp[] = [];
  for (const [i, entry] of entries.entries()) {
    const which = `app ${i + 1} of its ${entries.length}`;
    const app = appOf(entry);
    if (typeof app === "string") return `must have apps as ${FORM}, but ${which} ${app}`;
    if (apps.some(({ id }) => id === app.id))
      return `must name each app once, but ${which} has an id that another has too`;
    if (apps.some(({ key }) => key === app.key))
      return `must have a key of its own for each app, but ${which} has one that another has too`;
    apps.push(app);
  }
  return apps;
}

/** A secret may have colons in it. What is wrong ends the sentence "but app 1 …". */
function appOf(entry: string): PusherApp | string {
  const [id = "", key, ...rest] = entry.split(":");
  if (key === undefined || rest.length === 0) return "lacks a colon";
  const secret = rest.join(":");
  if (!ID.test(id)) return "has an id that is not of 1 to 20 digits";
  if (!KEY.test(key))
    return "has a key that is not of 1 to 128 letters, digits, dots, hyphens, underscores and tildes";
  if (!SECRET.test(secret)) return "has a secret that is not of 1 to 512 visible ASCII characters";
  return { id, key, secret };
}
