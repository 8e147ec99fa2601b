// Requests of Pusher backends, without a framework around them: POST …/events is to them what POST /publish is to others. Libraries
// take nothing for success but 200 with a JSON object, and know few statuses of errors.
import type { Log } from "../../log";
import { throttledLog } from "../../log";
import { disconnectReason } from "../../relay/backend";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { ERRORS, type ErrorCode, engineUnavailable, Refusal } from "../../relay/contracts/errors";
import type { Maybe } from "../../relay/contracts/maybe";
import { all } from "../../relay/contracts/maybe";
import type { Published } from "../../relay/contracts/publication";
import type { Relay } from "../../relay/relay";
import { toUser } from "../../relay/text/checks";
import { pathOf } from "../access/address";
import { readBytes } from "../http/body";
import { JSON_NOT_STORED, refusalOf, refuse } from "../http/refusal";
import type { PusherApp, PusherApps } from "./apps";
import { type Event, eventOf, eventsOf } from "./events";
import { attributesOf, attributesOfOne, channelUsers, countsOf } from "./info";
import type { PusherFormat } from "./names";
import { ChannelNames } from "./names";
import { bodyProblem, requestProblem, type SignedQuery, signedQuery } from "./signatures";

/** The answer to a request of a backend. Rejects only when the relay itself is at fault. */
export type PusherApi = (request: Request) => Promise<Response>;

interface PusherApiOptions {
  readonly relay: Relay;
  readonly apps: PusherApps;
  readonly format: PusherFormat;
  readonly bodyBytes: number;
  readonly log: Log;
}

/** A request that an app has signed. */
interface Call {
  readonly app: PusherApp;
  readonly query: SignedQuery;
  readonly body: Uint8Array;
  /** What its path names: a channel or a user. */
  readonly name: string;
}

/** The answer as JSON text. */
type Run = (call: Call) => Promise<string | Refusal>;

interface Route {
  readonly method: "GET" | "POST";
  /** Its groups are `app`, the id of the app, and `name`, the channel or user. */
  readonly path: RegExp;
  readonly run: Run;
}

export function pusherApi(options: PusherApiOptions): PusherApi {
  const { relay, apps, format, bodyBytes, log } = options;
  const { tally } = relay;
  const routes = routesOf(relay, new ChannelNames(format, relay.backend));
  const logUnavailable = throttledLog(log, "the engine did not serve a Pusher backend");
  const refused = (refusal: Refusal): Response =>
    refuse(tally.refused(refusal), {}, statusOf(refusal.code));

  return async (request) => {
    try {
      const { method, url } = request;
      const path = pathOf(url);
      const asked = method === "HEAD" ? "GET" : method;
      for (const { method: routed, path: pattern, run } of routes) {
        const match = routed === asked ? pattern.exec(path) : null;
        if (match === null) continue;
        const { app: id, name = "" } = match.groups ?? {};
        const query = signedQuery(url);
        if (typeof query === "string") return refused(notSigned(query));
        const app = appOf(apps, id, query);
        if (app === undefined) return refused(notSigned("There is no app with this id or key."));
        const problem = requestProblem(app, { method, url, query }, Date.now() / 1_000);
        if (problem !== undefined) return refused(notSigned(problem));
        const over = app.limits.countRequest();
        if (over !== undefined) return refused(over);
        const body = method === "POST" ? await readBytes(request, bodyBytes) : NO_BODY;
        const other = bodyProblem(query, body);
        if (other !== undefined) return refused(notSigned(other));
        // guard.ts has checked that it can be decoded.
        const answer = await run({ app, query, body, name: decodeURIComponent(name) });
        return answer instanceof Refusal ? refused(answer) : new Response(answer, JSON_NOT_STORED);
      }
      return refused(
        new Refusal("not_found", "There is no such route; GET /openapi lists all routes."),
      );
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal !== undefined) return refused(refusal);
      if (!(error instanceof EngineUnavailable)) throw error;
      logUnavailable(error);
      return refused(engineUnavailable());
    }
  };
}

const NO_BODY = new Uint8Array();

/** Libraries know 400 for what the table tells apart by 409, 415 and 422. */
export function statusOf(code: ErrorCode): number {
  const { status } = ERRORS[code];
  return status === 409 || status === 415 || status === 422 ? 400 : status;
}

/** One library ends connections by a path without an app, and its key says which it means. */
function appOf(
  apps: PusherApps,
  id: string | undefined,
  query: SignedQuery,
): PusherApp | undefined {
  return id === undefined ? apps.byKey(query.get("auth_key") ?? "") : apps.byId(id);
}

function notSigned(problem: string): Refusal {
  return new Refusal(
    "invalid_signature",
    `${problem} A request needs auth_key, auth_timestamp, auth_version, auth_signature and, with a body, body_md5.`,
  );
}

function routesOf(relay: Relay, names: ChannelNames): readonly Route[] {
  return [
    { method: "POST", path: pathOfApp("events"), run: publishIn(relay, names) },
    { method: "POST", path: pathOfApp("batch_events"), run: publishBatchIn(relay, names) },
    { method: "GET", path: pathOfApp("channels"), run: listIn(relay, names) },
    { method: "GET", path: pathOfApp("channels/(?<name>[^/]+)"), run: showIn(relay, names) },
    { method: "GET", path: pathOfApp("channels/(?<name>[^/]+)/users"), run: usersIn(relay, names) },
    { method: "POST", path: pathOfApp(TERMINATE), run: terminateIn(relay) },
    { method: "POST", path: new RegExp(`^/${TERMINATE}$`), run: terminateIn(relay) },
  ];
}

/** Not every library escapes a slash in the id of a user. */
const TERMINATE = "users/(?<name>.+)/terminate_connections";

function pathOfApp(rest: string): RegExp {
  return new RegExp(`^/apps/(?<app>[^/]+)/${rest}$`);
}

function publishIn({ publisher, backend }: Relay, channelNames: ChannelNames): Run {
  return async ({ app: { limits }, body }) => {
    const event = eventOf(body, channelNames);
    if (event instanceof Refusal) return event;
    const { channels, topics, command, attributes } = event;
    const over = limits.countPublications(topics.length);
    if (over !== undefined) return over;
    const refusal = await refusalIn(publisher.publishToAll(topics, command));
    if (refusal !== undefined) return refusal;
    if (attributes === undefined) return "{}";
    const counts = await countsOf(backend, topics, attributes);
    return JSON.stringify({ channels: byName(channels, counts) });
  };
}

function publishBatchIn({ publisher, backend }: Relay, channelNames: ChannelNames): Run {
  const infoOf = async ({ topics, attributes }: Event) =>
    attributes === undefined ? {} : (await countsOf(backend, topics, attributes))[0];
  return async ({ app: { limits }, body }) => {
    const events = eventsOf(body, channelNames);
    if (events instanceof Refusal) return events;
    const over = limits.countPublications(events.length);
    if (over !== undefined) return over;
    const answers = publisher.publishEach(
      events.map(({ topics, command }) => ({ ...command, topic: topics[0] as string })),
    );
    const refusal = answers instanceof Refusal ? answers : await refusalIn(answers);
    if (refusal !== undefined) return refusal;
    if (events.every(({ attributes }) => attributes === undefined)) return "{}";
    return JSON.stringify({ batch: await Promise.all(events.map(infoOf)) });
  };
}

/** The first refusal. Rejects where the engine fails. */
async function refusalIn(
  answers: readonly Maybe<Published | Refusal>[],
): Promise<Refusal | undefined> {
  for (const answer of await all(answers)) if (answer instanceof Refusal) return answer;
  return undefined;
}

function byName<Value>(names: readonly string[], values: readonly Value[]): Record<string, Value> {
  return Object.fromEntries(names.map((name, i) => [name, values[i] as Value]));
}

/** The channels that have subscribers. */
function listIn({ backend }: Relay, channelNames: ChannelNames): Run {
  return async ({ query }) => {
    const prefix = query.get("filter_by_prefix") ?? "";
    const attributes = attributesOf(query.get("info") ?? "", [prefix], channelNames);
    if (attributes instanceof Refusal) return attributes;
    const rows = [...(await backend.topicSizes())]
      .map(([topic, size]) => ({ topic, channel: channelNames.channelOf(topic), size }))
      .filter(({ channel, size }) => size > 0 && channel.startsWith(prefix));
    const topics = rows.map(({ topic }) => topic);
    const sizes = rows.map(({ size }) => size);
    const counts = await countsOf(backend, topics, attributes, sizes);
    const names = rows.map(({ channel }) => channel);
    return JSON.stringify({ channels: byName(names, counts) });
  };
}

function showIn({ backend }: Relay, channelNames: ChannelNames): Run {
  return async ({ query, name }) => {
    const asked = attributesOfOne(query.get("info") ?? "", name, channelNames);
    const topic = channelNames.topicOf(name);
    if (asked instanceof Refusal) return asked;
    if (topic instanceof Refusal) return topic;
    const [size = 0] = await backend.subscriberCounts([topic]);
    const [counts] = await countsOf(backend, [topic], asked, [size]);
    const newest = asked.cache ? (await backend.newest(topic)).publication : undefined;
    const cache = newest && { cache: { data: newest.data } };
    return JSON.stringify({ occupied: size > 0, ...counts, ...cache });
  };
}

function usersIn({ backend }: Relay, channelNames: ChannelNames): Run {
  return async ({ name }) => {
    const users = await channelUsers(backend, channelNames, name);
    return users instanceof Refusal ? users : JSON.stringify(users);
  };
}

/** Ends the connections of a user, whatever they speak: their clients stay away. */
function terminateIn({ backend }: Relay): Run {
  return async ({ name }) => {
    const user = toUser(name);
    const reason = disconnectReason();
    if (user instanceof Refusal) return user;
    if (reason instanceof Refusal) return reason;
    await backend.disconnect({ user }, reason);
    return "{}";
  };
}
