// The backend's API as Centrifugo's libraries know it (shared/centrifuge-protocol.md, 16): POST /api/<method>. Each
// method is a few lines over the same calls of the relay that the other routes make.
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import type { Elysia } from "elysia";
import type { ClientInfo } from "../relay/command";
import type { Connection } from "../relay/connection";
import { EngineUnavailable } from "../relay/engine";
import { engineUnavailable, Refusal } from "../relay/errors";
import { rawMember, rawMembers } from "../relay/json-text";
import type { Publication } from "../relay/publication";
import { bodyDocument, readJson } from "./body";
import { granted } from "./refusal";
import type { RouteOptions } from "./routes";
import { ApiAnswer, ApiMethod, errorAnswers } from "./schemas";

/** How the wire of sessions writes what this API answers too; main.ts hands it over from protocols/. */
export interface ApiFormat {
  errorOf(refusal: Refusal): { code: number; message: string };
  publicationJson(publication: Publication): string;
  infoJson(info: ClientInfo): string;
}

/** Publications in one answer. */
const HISTORY_MAX = 300;
/** Commands in one batch, and channels in one broadcast. */
const BATCH_MAX = 1_000;

const Text = Type.Optional(Type.String());
const Channel = Type.Object({ channel: Text });
const Who = Type.Object({ user: Text, client: Text, session: Text });
const Publish = Type.Object({
  channel: Text,
  b64data: Text,
  idempotency_key: Text,
  tags: Type.Optional(Type.Record(Type.String(), Type.String())),
});
const Broadcast = Type.Composite([
  Publish,
  Type.Object({ channels: Type.Optional(Type.Array(Type.String(), { maxItems: BATCH_MAX })) }),
]);
const WhoChannel = Type.Composite([Who, Channel]);
const Disconnect = Type.Composite([
  Who,
  Type.Object({
    whitelist: Type.Optional(Type.Array(Type.String())),
    disconnect: Type.Optional(
      Type.Object({ code: Type.Optional(Type.Integer()), reason: Type.Optional(Type.String()) }),
    ),
  }),
]);
const Refresh = Type.Composite([
  Who,
  Type.Object({
    expired: Type.Optional(Type.Boolean()),
    expire_at: Type.Optional(Type.Integer()),
  }),
]);
const History = Type.Composite([
  Channel,
  Type.Object({
    limit: Type.Optional(Type.Integer()),
    since: Type.Optional(
      Type.Object({ offset: Type.Optional(Type.Integer({ minimum: 0 })), epoch: Text }),
    ),
    reverse: Type.Optional(Type.Boolean()),
  }),
]);
const Channels = Type.Object({ pattern: Text });
const Batch = Type.Object({ commands: Type.Array(Type.Unknown(), { maxItems: BATCH_MAX }) });

/** JSON text of a result, or why there is none. */
type Result = string | Refusal | Promise<string | Refusal>;

interface Method {
  readonly shape: TypeCheck<TSchema>;
  readonly run: (body: never, text: string) => Result;
}

function method<Schema extends TSchema>(
  schema: Schema,
  run: (body: Static<Schema>, text: string) => Result,
): Method {
  return { shape: TypeCompiler.Compile(schema as TSchema), run: run as Method["run"] };
}

const bad = (message: string): Refusal => new Refusal("invalid_body", message);

export function api({ relay, log, checkKey, security, bodyBytes, apiFormat, node }: RouteOptions) {
  const { errorOf, publicationJson, infoJson } = apiFormat;

  const errorJson = (refusal: Refusal): string => {
    const { code, message } = errorOf(refusal);
    return JSON.stringify({ error: { code, message } });
  };

  const publish = async (topic: string, body: Static<typeof Publish>, text: string) => {
    const data =
      body.b64data === undefined
        ? rawMember(text, "data")
        : Buffer.from(body.b64data, "base64").toString("utf8");
    if (topic === "" || data === undefined) return bad("channel and data are needed.");
    if (body.b64data !== undefined && !isJson(data)) return bad("b64data must be JSON.");
    const tags = body.tags && JSON.stringify(body.tags);
    const answer = await relay.publish({
      topic,
      data,
      tags,
      idempotency_key: body.idempotency_key || undefined,
    });
    if (answer instanceof Refusal) return answer;
    const { offset, epoch } = answer;
    return JSON.stringify({ offset, epoch });
  };

  /** Sessions of a user, or the one of a client id; without either, none. */
  const sessionsOf = ({ user = "", client = "" }: Static<typeof Who>): Connection[] =>
    relay.connectionsOf(user, client).filter(({ session }) => session !== undefined);

  const methods: Record<string, Method> = {
    publish: method(Publish, (body, text) => publish(body.channel ?? "", body, text)),

    broadcast: method(Broadcast, async (body, text) => {
      if (body.channels === undefined || body.channels.length === 0)
        return bad("channels are needed.");
      const responses = await Promise.all(
        body.channels.map(async (channel) => wrapped(await publish(channel, body, text))),
      );
      return `{"responses":[${responses.join(",")}]}`;
    }),

    subscribe: method(WhoChannel, async (body) => {
      const { channel = "" } = body;
      if (channel === "") return bad("channel is needed.");
      await Promise.all(sessionsOf(body).map((session) => relay.bringIn(session, channel)));
      return "{}";
    }),

    unsubscribe: method(WhoChannel, (body) => {
      for (const session of sessionsOf(body)) relay.takeOut(session, body.channel ?? "");
      return "{}";
    }),

    disconnect: method(Disconnect, (body) => {
      const { code = 3503, reason = "force disconnect" } = body.disconnect ?? {};
      if (code < 3000 || code > 4999) return bad("A code is from 3000 to 4999.");
      const spared = new Set(body.whitelist);
      for (const connection of relay.connectionsOf(body.user ?? "", body.client ?? "")) {
        if (!spared.has(connection.id)) relay.endWith(connection, code, reason || "disconnected");
      }
      return "{}";
    }),

    refresh: method(Refresh, (body) => {
      for (const session of sessionsOf(body)) {
        if (body.expired === true) relay.end(session, "expired");
        else relay.prolong(session, body.expire_at && body.expire_at - Date.now() / 1000);
      }
      return "{}";
    }),

    presence: method(Channel, ({ channel = "" }) => {
      const clients = relay.presence(channel);
      if (clients instanceof Refusal) return clients;
      const rows = clients.map((info) => `${JSON.stringify(info.client)}:${infoJson(info)}`);
      return `{"presence":{${rows.join(",")}}}`;
    }),

    presence_stats: method(Channel, ({ channel = "" }) => {
      const counts = relay.presenceCounts(channel);
      if (counts instanceof Refusal) return counts;
      return JSON.stringify({ num_clients: counts.clients, num_users: counts.users });
    }),

    history: method(History, async ({ channel = "", limit = 0, since, reverse = false }) => {
      if (channel === "") return bad("channel is needed.");
      if (reverse && since?.offset === 0) return bad("Nothing is before offset 0.");
      const most = limit < 0 ? HISTORY_MAX : Math.min(limit, HISTORY_MAX);
      const page = await relay.history(channel, { since: since?.offset, limit: most, reverse });
      if (page instanceof Refusal) return page;
      if (page.top === undefined) return new Refusal("no_history", "It keeps no history.");
      const { epoch, offset } = page.top;
      if (since?.epoch && since.epoch !== epoch) {
        return new Refusal("unrecoverable_position", "Another epoch.");
      }
      return `{"publications":[${page.publications.map(publicationJson).join(",")}],"epoch":"${epoch}","offset":${offset}}`;
    }),

    history_remove: method(Channel, async ({ channel = "" }) => {
      if (channel === "") return bad("channel is needed.");
      const refusal = await relay.forgetHistory(channel);
      return refusal ?? "{}";
    }),

    channels: method(Channels, ({ pattern = "" }) => {
      const glob = pattern === "" ? undefined : new Bun.Glob(pattern);
      const rows = relay
        .topicSizes()
        .filter(([name]) => glob === undefined || glob.match(name))
        .map(([name, size]) => `${JSON.stringify(name)}:{"num_clients":${size}}`);
      return `{"channels":{${rows.join(",")}}}`;
    }),

    info: method(Type.Object({}), () => {
      const { connections, users, topics, subscriptions } = relay.counts;
      return JSON.stringify({
        nodes: [
          {
            uid: node,
            name: "baton",
            version: relay.version,
            num_clients: connections,
            num_users: users,
            num_channels: topics,
            num_subs: subscriptions,
            uptime: Math.floor(process.uptime()),
          },
        ],
      });
    }),
  };

  const run = async (name: string, value: unknown, text: string): Promise<string | Refusal> => {
    const found = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (found === undefined) return new Refusal("not_found", "There is no such method.");
    if (!found.shape.Check(value)) {
      const error = found.shape.Errors(value).First();
      return bad(`${error?.path ?? ""}: ${error?.message ?? "wrong shape"}.`);
    }
    try {
      return await found.run(value as never, text);
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      log.error({ err: error }, "the engine did not take a call");
      return engineUnavailable();
    }
  };

  const wrapped = (result: string | Refusal): string =>
    result instanceof Refusal ? errorJson(result) : `{"result":${result}}`;

  /** Commands like {"publish": {…}}, in order; replies like {"publish": {…}}. */
  const batch = async (value: unknown, text: string): Promise<string> => {
    if (!batchShape.Check(value)) return errorJson(bad("commands are needed."));
    const replies: string[] = [];
    for (const [i, command] of value.commands.entries()) {
      const [name, body] = Object.entries((command ?? {}) as object)[0] ?? ["", {}];
      const own = itemText(text, i, name) ?? "{}";
      const result = await run(name, body, own);
      replies.push(
        result instanceof Refusal ? errorJson(result) : `{${JSON.stringify(name)}:${result}}`,
      );
    }
    return `{"replies":[${replies.join(",")}]}`;
  };

  return (app: Elysia) =>
    app.post(
      "/api/:method",
      async ({ params: { method: name }, request }) => {
        const { text, value } = await readJson(request, bodyBytes, false);
        if (name === "batch") return json(await batch(value, text));
        const result = await run(name, value, text);
        if (result instanceof Refusal && result.code === "not_found") granted(result);
        if (
          result instanceof Refusal &&
          request.headers.get("x-centrifugo-error-mode") === "transport"
        ) {
          const error = errorOf(result);
          return json(JSON.stringify(error), STATUS[error.code] ?? 500);
        }
        return json(wrapped(result));
      },
      {
        parse: "none",
        beforeHandle: checkKey,
        params: ApiMethod,
        response: {
          200: ApiAnswer,
          ...errorAnswers(
            "bad_request",
            "malformed_json",
            "unauthorized",
            "not_found",
            "body_too_large",
          ),
        },
        detail: {
          tags: ["centrifuge"],
          summary: "The backend's API, as Centrifugo has it",
          description: `Methods: ${Object.keys(methods).join(", ")}, batch. An error of a method is in the answer, with status 200.`,
          requestBody: bodyDocument(Type.Object({})),
          security,
        },
      },
    );
}

const batchShape = TypeCompiler.Compile(Batch);

/** With X-Centrifugo-Error-Mode: transport. */
const STATUS: Readonly<Record<number, number>> = {
  102: 404,
  104: 404,
  107: 400,
  108: 400,
  109: 409,
  112: 416,
};

/** The text of a command's body within a batch. */
function itemText(text: string, place: number, name: string): string | undefined {
  return rawMembers(rawMember(text, "commands") ?? "[]", name)[place];
}

function json(text: string, status = 200): Response {
  return new Response(text, {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
