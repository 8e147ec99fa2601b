// What each method of the backend's API does (shared/centrifuge-protocol.md, 16): a few lines over the same calls of
// the relay that the other routes make.

import type { Static, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import { version } from "../../../package.json";
import { type ConnectionSelector, closeOf } from "../../relay/backend";
import { Refusal } from "../../relay/contracts/errors";
import type { ClientInfo, Publication, Published } from "../../relay/contracts/publication";
import type { Relay } from "../../relay/relay";
import { rawMember } from "../../relay/text/json";
import * as Shape from "./shapes";

/** How the wire of sessions writes what this API answers too; main.ts hands it over from protocols/. */
export interface ApiFormat {
  errorOf(refusal: Refusal): { code: number; message: string };
  publicationJson(publication: Publication): string;
  infoJson(info: ClientInfo): string;
}

export interface ApiMethodsOptions {
  readonly relay: Relay;
  readonly format: ApiFormat;
}

/** JSON text of a result, or why there is none. */
type Result = string | Refusal | Promise<string | Refusal>;

export interface Method {
  readonly shape: TypeCheck<TSchema>;
  /** `text` is the body as it came in, for payloads whose bytes must not change. */
  readonly run: (body: never, text: string) => Result;
}

/** Publications in one answer. */
const HISTORY_MAX = 300;

/** The methods by their names, but for batch. */
export function apiMethods({ relay, format }: ApiMethodsOptions): Record<string, Method> {
  const { errorOf, publicationJson, infoJson } = format;
  const { backend } = relay;

  const written = (answer: Published | Refusal): string | Refusal => {
    if (answer instanceof Refusal) return answer;
    const { offset, epoch } = answer;
    return JSON.stringify({ offset, epoch });
  };

  const wrapped = (result: string | Refusal): string => {
    if (!(result instanceof Refusal)) return `{"result":${result}}`;
    const { code, message } = errorOf(result);
    return JSON.stringify({ error: { code, message } });
  };

  return {
    publish: method(Shape.Publish, async (body, text) => {
      const command = publicationIn(body, text);
      if (command instanceof Refusal) return command;
      return written(await relay.publish({ ...command, topic: body.channel ?? "" }));
    }),

    broadcast: method(Shape.Broadcast, async (body, text) => {
      const { channels = [] } = body;
      if (channels.length === 0) return bad("channels are needed.");
      const command = publicationIn(body, text);
      if (command instanceof Refusal) return command;
      const answers = await Promise.all(backend.broadcast(channels, command));
      return `{"responses":[${answers.map((answer) => wrapped(written(answer))).join(",")}]}`;
    }),

    subscribe: method(Shape.Subscribe, async (body, text) => {
      const { channel: topic = "", expire_at: end, recover_since: since } = body;
      const info = payload(text, "info", body.b64info);
      const data = payload(text, "data", body.b64data);
      if (info instanceof Refusal) return info;
      if (data instanceof Refusal) return data;
      const refusal = nobody(body) ?? (topic === "" ? bad("channel is needed.") : undefined);
      if (refusal !== undefined) return refusal;
      const position = since && { offset: since.offset ?? 0, epoch: since.epoch ?? "" };
      const gift = { topic, info, data, ttl: secondsTo(end), since: position };
      return (await backend.subscribe(body, gift)) ?? "{}";
    }),

    unsubscribe: method(Shape.Unsubscribe, async (body) => {
      const refusal = nobody(body);
      if (refusal === undefined) await backend.unsubscribe(body, body.channel ?? "");
      return refusal ?? "{}";
    }),

    disconnect: method(Shape.Disconnect, async (body) => {
      // Libraries write 0 where no code is given.
      const close = closeOf(body.disconnect?.code || undefined, body.disconnect?.reason);
      if (close instanceof Refusal) return close;
      const refusal = nobody(body);
      if (refusal === undefined) await backend.disconnect(body, close, body.whitelist);
      return refusal ?? "{}";
    }),

    refresh: method(Shape.Refresh, async (body) => {
      const refusal = nobody(body);
      const ttl = body.expired === true ? "now" : secondsTo(body.expire_at);
      if (refusal === undefined) await backend.refresh(body, ttl);
      return refusal ?? "{}";
    }),

    presence: method(Shape.Channel, async ({ channel = "" }) => {
      const clients = await backend.presence(channel);
      if (clients instanceof Refusal) return clients;
      const rows = clients.map((info) => `${JSON.stringify(info.client)}:${infoJson(info)}`);
      return `{"presence":{${rows.join(",")}}}`;
    }),

    presence_stats: method(Shape.Channel, async ({ channel = "" }) => {
      const counts = await backend.presenceCounts(channel);
      if (counts instanceof Refusal) return counts;
      return JSON.stringify({ num_clients: counts.clients, num_users: counts.users });
    }),

    history: method(Shape.History, async ({ channel = "", limit = 0, since, reverse = false }) => {
      if (reverse && since?.offset === 0) return bad("Nothing is before offset 0.");
      const most = limit < 0 ? HISTORY_MAX : Math.min(limit, HISTORY_MAX);
      const page = await backend.history(channel, { since: since?.offset, limit: most, reverse });
      if (page instanceof Refusal) return page;
      if (page.top === undefined) return new Refusal("no_history", "It keeps no history.");
      const { epoch, offset } = page.top;
      if (since?.epoch && since.epoch !== epoch) {
        return new Refusal("unrecoverable_position", "Another epoch.");
      }
      const rows = page.publications.map(publicationJson).join(",");
      return `{"publications":[${rows}],"epoch":"${epoch}","offset":${offset}}`;
    }),

    history_remove: method(Shape.Channel, async ({ channel = "" }) => {
      return (await backend.forgetHistory(channel)) ?? "{}";
    }),

    channels: method(Shape.Channels, async ({ pattern = "" }) => {
      // A topic is no path: "*" fits slashes too.
      const flat = (text: string) => text.replaceAll("/", "\u0001");
      const glob = pattern === "" ? undefined : new Bun.Glob(flat(pattern));
      const rows = [...(await backend.topicSizes())]
        .filter(([name]) => glob === undefined || glob.match(flat(name)))
        .map(([name, size]) => `${JSON.stringify(name)}:{"num_clients":${size}}`);
      return `{"channels":{${rows.join(",")}}}`;
    }),

    info: method(Shape.Nothing, async () => {
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

function method<Schema extends TSchema>(
  schema: Schema,
  run: (body: Static<Schema>, text: string) => Result,
): Method {
  return { shape: TypeCompiler.Compile(schema as TSchema), run: run as Method["run"] };
}

/** What a body has that is not what its method takes. */
export function bad(message: string): Refusal {
  return new Refusal("invalid_body", message);
}

function nobody({ user = "", client = "", session = "" }: ConnectionSelector): Refusal | undefined {
  return user + client + session === "" ? bad("user, client or session is needed.") : undefined;
}

/** From a time in Unix seconds; 0 and undefined: never. */
function secondsTo(unix: number | undefined): number | undefined {
  return unix ? Math.max(0, unix - Date.now() / 1000) : undefined;
}

/** What publish and broadcast have in common. */
function publicationIn(body: PublicationBody, text: string) {
  const data = payload(text, "data", body.b64data);
  if (data instanceof Refusal) return data;
  if (data === undefined) return bad("data is needed.");
  const { tags, idempotency_key: key } = body;
  return { data, tags: tags && JSON.stringify(tags), idempotency_key: key || undefined };
}

interface PublicationBody {
  readonly b64data?: string;
  readonly tags?: object;
  readonly idempotency_key?: string;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** JSON text: a member as it stands in the body, or what its base64 holds. */
function payload(
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
    return bad(`b64${name} must hold JSON.`);
  }
}
