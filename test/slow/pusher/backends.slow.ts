// The Pusher libraries of backends in other languages, as they come from their registries, against a relay of two workers. The library
// for Node is what the fast tests use. Each verifies a webhook too.
import { expect, test } from "bun:test";
import { PUSHER_ENV } from "../../support/pusher/app";

import { backendPrograms, canRun, LANGUAGE_NAMES } from "../../support/pusher/backend-programs";
import { PusherClient } from "../../support/pusher/socket-client";
import { type SignedWebhook, WebhookReceiver } from "../../support/pusher/webhook-receiver";
import { Caller } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";
import { until, within } from "../../support/wait";

const outcomesOf = backendPrograms();

const MANY = Array.from({ length: 100 }, (_, i) => `many-${i}`);

/** How each library writes {"t":"é<&>/💥"}, which must arrive as it is. */
const WRITTEN: Record<string, string> = {
  Python: '{"t": "é<&>/💥"}',
  Go: '{"t":"é\\u003c\\u0026\\u003e/💥"}',
  Java: '{"t":"é<&>/💥"}',
  Rust: '{"t":"é<&>/💥"}',
  PHP: '{"t":"\\u00e9<&>\\/\\ud83d\\udca5"}',
};

const PUBLISHED = { trigger: {}, text: {}, many: {}, batch: {}, except: {} };
const ASKED = {
  channels: { channels: { news: { subscription_count: 2 } } },
  nobody: { channels: {} },
  channel: { occupied: true, subscription_count: 2 },
  users: { users: [] },
};
const refusedInGo = (status: number) => expect.stringContaining(`Status Code: ${status} - `);
const refusedInPhp = (status: number) => ["Pusher\\ApiErrorException", status];
const inJava = (answers: object) =>
  Object.fromEntries(
    Object.entries(answers).map(([call, answer]) => [call, { status: "SUCCESS", answer }]),
  );

/** What each call answers, or how the library says that it was refused. */
const OUTCOMES: Record<string, Record<string, unknown>> = {
  Python: {
    ...PUBLISHED,
    ...ASKED,
    user: {},
    terminate: {},
    webhook: "channel_occupied",
    "users of a public channel": "PusherBadRequest",
    "a wrong secret": "PusherBadAuth",
    "a long channel": "ValueError",
  },
  Go: {
    trigger: null,
    text: null,
    many: null,
    batch: { batch: null },
    except: null,
    user: null,
    ...ASKED,
    // It knows no other count of a list.
    channels: { channels: { news: { user_count: 0 } } },
    channel: { Name: "news", ...ASKED.channel },
    webhook: "channel_occupied",
    "users of a public channel": refusedInGo(400),
    "a wrong secret": refusedInGo(401),
    "a long name": refusedInGo(400),
  },
  Java: {
    ...inJava({ ...PUBLISHED, ...ASKED }),
    webhook: "VALID",
    "users of a public channel": { status: "CLIENT_ERROR" },
    "a wrong secret": { status: "AUTHENTICATION_ERROR" },
    "a long name": { status: "CLIENT_ERROR" },
    "a long channel": { status: "CLIENT_ERROR" },
    // What it says of every status that it does not know.
    "a large event": { status: "UNKNOWN_ERROR" },
  },
  Rust: {
    ...PUBLISHED,
    ...ASKED,
    terminate: {},
    webhook: "channel_occupied",
    "users of a public channel": 400,
    "a wrong secret": 401,
    // It counts bytes itself.
    "a long name": "Validation",
    "a large event": 413,
  },
  PHP: {
    ...PUBLISHED,
    ...ASKED,
    nobody: { channels: [] },
    user: {},
    terminate: {},
    webhook: "channel_occupied",
    "users of a public channel": refusedInPhp(400),
    "a wrong secret": refusedInPhp(401),
    "a long name": refusedInPhp(400),
    "a long channel": refusedInPhp(400),
    "a large event": refusedInPhp(413),
  },
};

interface Signed {
  readonly secret: object;
  readonly presence: object;
  /** The library for Java signs no users. */
  readonly signIn: object | undefined;
}

/** What a library has signed for a client opens its channels, and signs it in. */
async function isLetIn(client: PusherClient, { secret, presence, signIn }: Signed): Promise<void> {
  const event = "pusher_internal:subscription_succeeded";
  client.send("pusher:subscribe", { ...secret, channel: "private-x" });
  expect(await client.next()).toEqual({ event, channel: "private-x", data: "{}" });
  client.send("pusher:subscribe", { ...presence, channel: "presence-x" });
  const { data } = await client.next();
  expect(JSON.parse(data).presence).toEqual({ count: 1, ids: ["7"], hash: { 7: { name: "é<" } } });
  if (signIn === undefined) return;
  client.send("pusher:signin", signIn);
  expect((await client.next()).event).toBe("pusher:signin_success");
}

for (const name of LANGUAGE_NAMES) {
  test.skipIf(!canRun(name))(
    `the library for ${name} publishes, asks, signs and disconnects, and says what is refused in its own words`,
    async () => {
      await using backend = new WebhookReceiver();
      await using relay = await RelayProcess.start({
        ...PUSHER_ENV,
        ...backend.env,
        BATON_WORKERS: "2",
      });
      const { url } = relay;
      await using caller = new Caller({ urls: [url] });
      const news = [await caller.connect("a", ["news"]), await caller.connect("b", ["news"])];
      const many = await caller.connect("a", MANY);
      const batch = await caller.connect("a", ["batch"]);
      const user = await caller.connect("42", ["#42"]);
      await until("a webhook", () => backend.last !== undefined);
      const client = await PusherClient.open(url);
      const webhook = backend.last as SignedWebhook;
      const all = await outcomesOf(name, url, webhook, client.socketId);
      const { private: secret, presence, "sign in": signIn, ...outcomes } = all;
      await isLetIn(client, { secret, presence, signIn } as Signed);
      for (const client of news)
        expect(await client.take(3)).toEqual([WRITTEN[name] as string, "hi", "m"]);
      expect(await many.take(100)).toEqual(Array(100).fill("m"));
      expect(await batch.take(10)).toEqual(Array.from({ length: 10 }, (_, i) => String(i)));
      if ("user" in outcomes) expect(await user.next()).toBe("m");
      if ("terminate" in outcomes) {
        expect((await within("the end of the user's connection", user.closed)).code).toBe(3503);
      }
      for (const client of [...news, many, batch]) expect(await client.rest()).toEqual([]);
      expect(outcomes).toEqual(OUTCOMES[name] ?? {});
      expect(relay.loggedErrors).toEqual([]);
    },
  );
}
