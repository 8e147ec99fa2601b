// What a backend can read of a topic: GET /topics/:topic/history and GET /topics/:topic/presence.
import type { Elysia } from "elysia";
import type { Publication } from "../../relay/contracts/publication";
import { errorAnswers, KEY_ERRORS, MORE_PARAMETERS } from "../http/documents";
import { flagOf, query, textOf, wholeOf } from "../http/query";
import { JSON_NOT_STORED, orThrow } from "../http/refusal";
import type { RouteOptions } from "./options";
import {
  HistoryAnswer,
  HistoryQuery,
  PresenceAnswer,
  PresenceQuery,
  TopicParameter,
} from "./schemas";

/** Publications in one answer of history: at 64 KiB each that is 64 MiB. */
const HISTORY_LIMIT_MAX = 1_000;
const HISTORY_LIMIT = 100;

export function topicRoutes(options: RouteOptions) {
  return (app: Elysia) => app.use(historyRoute(options)).use(presenceRoute(options));
}

function historyRoute({ relay, requireKey, security }: RouteOptions) {
  return (app: Elysia) =>
    app.get(
      "/topics/:topic/history",
      async ({ params: { topic }, request }) => {
        const given = orThrow(query(request.url, HistoryQuery.names));
        const limit = orThrow(wholeOf(given, "limit")) ?? HISTORY_LIMIT;
        const reverse = orThrow(flagOf(given, "reverse"));
        const range = {
          since: orThrow(wholeOf(given, "since")),
          epoch: textOf(given, "epoch"),
          limit,
          limitMax: HISTORY_LIMIT_MAX,
          reverse,
        };
        const page = orThrow(await relay.backend.history(topic, range));
        const { offset, epoch: current } = page.top;
        const publications = page.publications.map(publicationJson).join(",");
        return new Response(
          `{"offset":${offset},"epoch":"${current}","publications":[${publications}]}`,
          JSON_NOT_STORED,
        );
      },
      {
        beforeHandle: requireKey("read"),
        params: TopicParameter,
        response: { 200: HistoryAnswer, ...HISTORY_ERRORS },
        detail: {
          tags: ["relay"],
          summary: "Read a topic's history",
          [MORE_PARAMETERS]: HistoryQuery.parameters,
          description:
            "Gives the publications after the offset `since`, oldest first, or with `reverse` those before it, newest first. Publications to single users are among them, with their user_id.",
          security,
        },
      },
    );
}

const HISTORY_ERRORS = errorAnswers(
  ...KEY_ERRORS,
  "no_history",
  "unrecoverable_position",
  "invalid_query",
  "invalid_topic",
  "engine_unavailable",
);

function presenceRoute({ relay, requireKey, security }: RouteOptions) {
  const { backend } = relay;
  return (app: Elysia) =>
    app.get(
      "/topics/:topic/presence",
      async ({ params: { topic }, request }) => {
        const given = orThrow(query(request.url, PresenceQuery.names));
        if (orThrow(flagOf(given, "counts"))) return orThrow(await backend.presenceCounts(topic));
        const present = orThrow(await backend.presence(topic));
        const clients = present.map(({ client, user }) => ({ client, user }));
        return { clients, users: new Set(present.map(({ user }) => user)).size };
      },
      {
        beforeHandle: requireKey("read"),
        params: TopicParameter,
        response: {
          200: PresenceAnswer,
          ...errorAnswers(
            ...KEY_ERRORS,
            "not_available",
            "invalid_query",
            "invalid_topic",
            "engine_unavailable",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "List the clients in a topic",
          description:
            "Available where the topic's rule has presence (BATON_TOPICS_FILE). Clients of all protocols count, and all anonymous clients count as one user.",
          [MORE_PARAMETERS]: PresenceQuery.parameters,
          security,
        },
      },
    );
}

/** A publication as the answer has it; the bytes of JSON data stay unchanged. */
function publicationJson({ event, data, json, user, offset }: Publication): string {
  const to = user === undefined ? "" : `,"user_id":${JSON.stringify(user)}`;
  const name = event === undefined ? "" : `,"event":${JSON.stringify(event)}`;
  return `{"offset":${offset}${name},"data":${json === true ? data : JSON.stringify(data)}${to}}`;
}
