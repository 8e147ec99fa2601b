// GET /topics and GET /users: what there is now, a page at a time.
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import { Refusal } from "../../relay/contracts/errors";
import type { PageRequest, TopicRow, UserRow } from "../../relay/directory";
import type { Relay } from "../../relay/relay";
import {
  Count,
  errorAnswers,
  KEY_ERRORS,
  type KeyedRouteOptions,
  queryDocument,
} from "../http/documents";
import { boundedOf, query, textOf } from "../http/query";
import { NOT_STORED, orThrow } from "../http/refusal";

interface ListOptions extends KeyedRouteOptions {
  readonly relay: Relay;
}

/** Rows in one answer. */
const LIMIT = { min: 1, max: 100 };
const LIMIT_DEFAULT = 50;

/** No name is longer. */
const SEARCH_CHARACTERS_MAX = 255;

const ListQuery = queryDocument({
  search: Type.String({ description: "Only names that contain this text." }),
  after: Type.String({ description: "Only names after this one: `next` of the page before." }),
  limit: Type.Integer({ minimum: LIMIT.min, maximum: LIMIT.max, default: LIMIT_DEFAULT }),
});

const Next = Type.Optional(
  Type.String({ description: "Set when there are more rows: give it as `after`." }),
);

const ListedTopic = Type.Object({
  topic: Type.String(),
  subscribers: Count,
  position: Type.Optional(Type.String({ description: "epoch:offset of what was delivered last." })),
  rule: Type.Optional(Type.String({ description: "The prefix of the rule that applies." })),
  history_size: Count,
  history_ttl_ms: Count,
});

const ListedUser = Type.Object({
  user: Type.String(),
  connections: Count,
  protocols: Type.Record(Type.String(), Count),
  since: Type.String({ format: "date-time", description: "Since when the oldest is open." }),
  waiting_bytes: Count,
});

const ERRORS = errorAnswers(...KEY_ERRORS, "invalid_query", "engine_unavailable");

export function listRoutes({ relay, requireKey, security }: ListOptions) {
  const { directory } = relay;
  const described = (summary: string, description: string, answer: TSchema) => ({
    beforeHandle: requireKey("read"),
    response: { 200: answer, ...ERRORS },
    detail: {
      tags: ["relay"],
      summary,
      description,
      parameters: ListQuery.parameters,
      security,
    },
  });
  return (app: Elysia) =>
    app
      .get(
        "/topics",
        async ({ request }): Promise<Response> => {
          const { rows, isCut } = await directory.topics(pageIn(request.url));
          const next = isCut ? rows.at(-1)?.topic : undefined;
          return Response.json({ topics: rows.map(topicJson), next }, NOT_STORED);
        },
        described(
          "List the topics that have subscribers",
          "Over all nodes, in the order of their names.",
          Type.Object({ topics: Type.Array(ListedTopic), next: Next }),
        ),
      )
      .get(
        "/users",
        async ({ request }): Promise<Response> => {
          const { rows, isCut } = await directory.users(pageIn(request.url));
          const next = isCut ? rows.at(-1)?.user : undefined;
          return Response.json({ users: rows.map(userJson), next }, NOT_STORED);
        },
        described(
          "List the users who are connected",
          "Over all nodes, in the order of their names. Anonymous clients are not among them.",
          Type.Object({ users: Type.Array(ListedUser), next: Next }),
        ),
      );
}

/** Throws Refused. */
function pageIn(url: string): PageRequest {
  const given = orThrow(query(url, ListQuery.names));
  const search = textOf(given, "search") ?? "";
  const after = textOf(given, "after") ?? "";
  if (Math.max(search.length, after.length) > SEARCH_CHARACTERS_MAX) {
    orThrow(
      new Refusal(
        "invalid_query",
        `search and after have at most ${SEARCH_CHARACTERS_MAX} characters, as names have.`,
      ),
    );
  }
  return { search, after, limit: orThrow(boundedOf(given, "limit", LIMIT)) ?? LIMIT_DEFAULT };
}

function topicJson({
  topic,
  subscribers,
  position,
  prefix,
  rule,
}: TopicRow): Static<typeof ListedTopic> {
  return {
    topic,
    subscribers,
    ...(position !== undefined && { position: `${position.epoch}:${position.offset}` }),
    ...(prefix !== undefined && { rule: prefix }),
    history_size: rule.historySize,
    history_ttl_ms: rule.historyTtlMs,
  };
}

function userJson({
  user,
  connections,
  protocols,
  ageMs,
  waitingBytes,
}: UserRow): Static<typeof ListedUser> {
  const since = new Date(Date.now() - ageMs).toISOString();
  return { user, connections, protocols, since, waiting_bytes: waitingBytes };
}
