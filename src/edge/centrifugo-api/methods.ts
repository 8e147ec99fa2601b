// The methods of the server API (docs/centrifuge-protocol.md, "Server API"): each is a few lines over the same calls of
// the relay that the other routes make.
import type { Static, TSchema } from "@sinclair/typebox";
import { type ConnectionSelector, disconnectReason } from "../../relay/backend";
import { Refusal } from "../../relay/contracts/errors";
import type { ClientInfo, Publication, Published } from "../../relay/contracts/publication";
import type { Relay } from "../../relay/relay";
import { rawMember } from "../../relay/text/json";
import { checkDirection, REPLY_PUBLICATIONS_MAX } from "../../relay/topics/history";
import { Shape } from "../../shape";
import { version } from "../../version";
import type { Grants, Scope } from "../access/keys";
import { hiddenBy } from "../access/override";
import * as Bodies from "./shapes";

/** How the Centrifuge protocol writes what this API answers too. node.ts passes it in, as edge/ does not know protocols/. */
export interface ApiFormat {
  errorOf(refusal: Refusal): { code: number; message: string };
  publicationJson(publication: Publication): string;
  infoJson(info: ClientInfo): string;
}

interface ApiMethodsOptions {
  readonly relay: Relay;
  readonly format: ApiFormat;
}

export interface Method {
  readonly shape: Shape<TSchema>;
  /** Refuses (`missing_scope`) a call that its key does not open. */
  readonly check: GrantsCheck;
  /** The result is JSON text. `text` is the body as it came in, for payloads whose bytes must not change. */
  readonly run: (body: never, text: string, grants: Grants) => Promise<string | Refusal>;
}

/** Every method but batch, by its name. */
export function apiMethods(options: ApiMethodsOptions): Record<string, Method> {
  return {
    ...publishMethods(options),
    ...sessionMethods(options),
    ...topicMethods(options),
    ...nodeMethods(options),
  };
}

function publishMethods({ relay, format }: ApiMethodsOptions): Record<string, Method> {
  const resultOf = (answer: Published | Refusal): string | Refusal => {
    if (answer instanceof Refusal) return answer;
    const { offset, epoch } = answer;
    return JSON.stringify({ offset, epoch });
  };

  const responseOf = (result: string | Refusal): string =>
    result instanceof Refusal
      ? errorJson(format, relay.tally.refused(result))
      : `{"result":${result}}`;

  return {
    publish: method(Bodies.Publish, inChannel("publish"), async (body, text, { limits }) => {
      const command = publicationIn(body, text);
      if (command instanceof Refusal) return command;
      const over = limits.countPublications(1);
      if (over !== undefined) return over;
      return resultOf(await relay.publisher.publish({ ...command, topic: body.channel ?? "" }));
    }),

    broadcast: method(Bodies.Broadcast, inChannels("publish"), async (body, text, { limits }) => {
      const { channels = [] } = body;
      if (channels.length === 0) return badRequest("channels is missing.");
      const command = publicationIn(body, text);
      if (command instanceof Refusal) return command;
      const over = limits.countPublications(channels.length);
      if (over !== undefined) return over;
      const answers = await Promise.all(relay.publisher.publishToAll(channels, command));
      const responses = answers.map((answer) => responseOf(resultOf(answer)));
      return `{"responses":[${responses.join(",")}]}`;
    }),
  };
}

function sessionMethods({ relay: { backend } }: ApiMethodsOptions): Record<string, Method> {
  return {
    subscribe: method(Bodies.Subscribe, inChannel("manage"), async (body, text) => {
      const { channel: topic = "", expire_at, recover_since, override } = body;
      const info = payloadIn(text, "info", body.b64info);
      const data = payloadIn(text, "data", body.b64data);
      if (info instanceof Refusal) return info;
      if (data instanceof Refusal) return data;
      const refusal =
        checkSelector(body) ?? (topic === "" ? badRequest("channel is missing.") : undefined);
      if (refusal !== undefined) return refusal;
      const since = recover_since && {
        offset: recover_since.offset ?? 0,
        epoch: recover_since.epoch ?? "",
      };
      const hidden = hiddenBy(override);
      const subscription = { topic, info, data, hidden, ttl: secondsUntil(expire_at), since };
      return (await backend.subscribe(body, subscription)) ?? "{}";
    }),

    unsubscribe: method(Bodies.Unsubscribe, inChannel("manage"), async (body) => {
      const refusal = checkSelector(body);
      if (refusal === undefined) await backend.unsubscribe(body, body.channel ?? "");
      return refusal ?? "{}";
    }),

    disconnect: method(Bodies.Disconnect, everywhere("manage"), async (body) => {
      // Libraries write 0 when no code is given.
      const reason = disconnectReason(body.disconnect?.code || undefined, body.disconnect?.reason);
      if (reason instanceof Refusal) return reason;
      const refusal = checkSelector(body);
      if (refusal === undefined) await backend.disconnect(body, reason, body.whitelist);
      return refusal ?? "{}";
    }),

    refresh: method(Bodies.Refresh, everywhere("manage"), async (body) => {
      const refusal = checkSelector(body);
      const ttl = body.expired === true ? "now" : secondsUntil(body.expire_at);
      if (refusal === undefined) await backend.refresh(body, ttl);
      return refusal ?? "{}";
    }),
  };
}

function topicMethods({ relay: { backend }, format }: ApiMethodsOptions): Record<string, Method> {
  const { publicationJson, infoJson } = format;
  return {
    presence: method(Bodies.Channel, inChannel("read"), async ({ channel = "" }) => {
      const clients = await backend.presence(channel);
      if (clients instanceof Refusal) return clients;
      const rows = clients.map((info) => `${JSON.stringify(info.client)}:${infoJson(info)}`);
      return `{"presence":{${rows.join(",")}}}`;
    }),

    presence_stats: method(Bodies.Channel, inChannel("read"), async ({ channel = "" }) => {
      const counts = await backend.presenceCounts(channel);
      if (counts instanceof Refusal) return counts;
      return JSON.stringify({ num_clients: counts.clients, num_users: counts.users });
    }),

    history: method(
      Bodies.History,
      inChannel("read"),
      async ({ channel = "", limit = 0, since, reverse = false }) => {
        const refusal = checkDirection({ since, reverse });
        if (refusal !== undefined) return refusal;
        const page = await backend.history(channel, {
          since: since?.offset,
          epoch: since?.epoch || undefined,
          limit,
          limitMax: REPLY_PUBLICATIONS_MAX,
          reverse,
        });
        if (page instanceof Refusal) return page;
        const { epoch, offset } = page.top;
        const rows = page.publications.map(publicationJson).join(",");
        return `{"publications":[${rows}],"epoch":"${epoch}","offset":${offset}}`;
      },
    ),

    history_remove: method(Bodies.Channel, inChannel("manage"), async ({ channel = "" }) => {
      return (await backend.forgetHistory(channel)) ?? "{}";
    }),

    channels: method(Bodies.Channels, everywhere("read"), async ({ pattern = "" }) => {
      // A topic is not a path: "*" matches slashes too.
      const flat = (text: string) => text.replaceAll("/", "\u0001");
      const glob = pattern === "" ? undefined : new Bun.Glob(flat(pattern));
      const rows = [...(await backend.topicSizes())]
        .filter(([name]) => glob === undefined || glob.match(flat(name)))
        .map(([name, size]) => `${JSON.stringify(name)}:{"num_clients":${size}}`);
      return `{"channels":{${rows.join(",")}}}`;
    }),
  };
}

function nodeMethods({ relay: { backend } }: ApiMethodsOptions): Record<string, Method> {
  return {
    info: method(Bodies.Nothing, everywhere("read"), async () => {
      const nodes = (await backend.nodes()).map((node) => ({
        uid: node.node,
        name: "baton",
        version,
        num_clients: node.connections,
        num_users: node.users,
        num_channels: node.topics,
        num_subs: node.subscriptions,
        uptime: Math.floor(node.ageMs / 1000),
      }));
      return JSON.stringify({ nodes });
    }),
  };
}

type GrantsCheck = (grants: Grants, body: ChannelsBody) => Refusal | undefined;

/** The topics that a call names. */
interface ChannelsBody {
  readonly channel?: string;
  readonly channels?: readonly string[];
}

/** The scope for the topic that is named, or for all when none is. */
function inChannel(scope: Scope): GrantsCheck {
  return (grants, { channel }) => grants.check(scope, channel || undefined);
}

function inChannels(scope: Scope): GrantsCheck {
  return (grants, { channels = [] }) => {
    for (const channel of channels) {
      const refusal = grants.check(scope, channel);
      if (refusal !== undefined) return refusal;
    }
    return grants.checkSome(scope);
  };
}

function everywhere(scope: Scope): GrantsCheck {
  return (grants) => grants.check(scope);
}

function method<Schema extends TSchema>(
  schema: Schema,
  check: GrantsCheck,
  run: (body: Static<Schema>, text: string, grants: Grants) => Promise<string | Refusal>,
): Method {
  return { shape: new Shape<TSchema>(schema), check, run: run as Method["run"] };
}

export function errorJson(format: ApiFormat, refusal: Refusal): string {
  return JSON.stringify({ error: errorIn(format, refusal) });
}

/** Libraries tell errors apart by their codes and show the message, so it also says what was wrong. */
export function errorIn(format: ApiFormat, refusal: Refusal): { code: number; message: string } {
  const { code, message } = format.errorOf(refusal);
  return { code, message: `${message}: ${refusal.message}` };
}

/** The refusal of a body that does not fit its method. */
export function badRequest(message: string): Refusal {
  return new Refusal("invalid_body", message);
}

function checkSelector({
  user = "",
  client = "",
  session = "",
}: ConnectionSelector): Refusal | undefined {
  const isEmpty = user + client + session === "";
  return isEmpty ? badRequest("One of user, client and session is required.") : undefined;
}

/** The seconds from now until a Unix time. 0 and undefined stand for never. */
function secondsUntil(unix: number | undefined): number | undefined {
  return unix ? Math.max(0, unix - Date.now() / 1000) : undefined;
}

/** What publish and broadcast have in common. */
function publicationIn(body: PublicationBody, text: string) {
  const data = payloadIn(text, "data", body.b64data);
  if (data instanceof Refusal) return data;
  if (data === undefined) return badRequest("data is missing.");
  const { tags, idempotency_key: key } = body;
  return { data, tags: tags && JSON.stringify(tags), idempotency_key: key || undefined };
}

interface PublicationBody {
  readonly b64data?: string;
  readonly tags?: object;
  readonly idempotency_key?: string;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** JSON text: a member of the body as it stands there, or what the base64 decodes to. */
function payloadIn(
  text: string,
  name: string,
  base64: string | undefined,
): string | Refusal | undefined {
  if (base64 === undefined || base64 === "") return rawMember(text, name);
  try {
    const json = utf8.decode(Buffer.from(base64, "base64"));
    JSON.parse(json);
    return json;
  } catch {
    return badRequest(`b64${name} must be the base64 of JSON.`);
  }
}
