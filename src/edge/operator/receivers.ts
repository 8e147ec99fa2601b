// What became of a publication: GET /publications/:topic/:offset.
import { Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import { Refusal } from "../../relay/contracts/errors";
import type { ReceiversAnswer } from "../../relay/explanations/receivers";
import type { Relay } from "../../relay/relay";
import {
  Count,
  errorAnswers,
  KEY_ERRORS,
  type KeyedRouteOptions,
  MORE_PARAMETERS,
  Moment,
  OneOf,
  queryDocument,
  TopicName,
} from "../http/documents";
import { query, textOf } from "../http/query";
import { NOT_STORED, orThrow, Refused } from "../http/refusal";
import type { Fate, Fates } from "../push/fates";

interface ReceiversOptions extends KeyedRouteOptions {
  readonly relay: Relay;
  /** Undefined where there are no pushes. */
  readonly webPush: { readonly fates: Fates } | undefined;
}

const ReceiversQuery = queryDocument({
  epoch: Type.String({
    description: "The epoch of the offset. The request is refused when the topic has another one.",
  }),
});

const ReceiversPath = Type.Object({
  topic: TopicName,
  offset: Type.String({ description: "The offset that the publish was answered with." }),
});

const Receivers = Type.Object({
  position: Type.String({ description: "epoch:offset" }),
  state: OneOf(["kept", "expired"]),
  user_id: Type.Optional(Type.String({ description: "Set when it was for this user alone." })),
  connections: Type.Object({
    have_it: Type.Integer({ minimum: 0, description: "Open connections that were sent it." }),
    may_have_it: Type.Integer({
      minimum: 0,
      description:
        "Open connections in the topic that may have it: their clients take no positions, so that it is not known since when they have the topic; or it has expired, so that it is not known for whom it was.",
    }),
    first: Type.Array(
      Type.Object({
        id: Type.String(),
        user_id: Type.String(),
        protocol: Type.String(),
        has: OneOf(["it", "perhaps"]),
      }),
      { description: "At most 20 of them, those first that have it." },
    ),
  }),
  ended: Type.Array(
    Type.Object({
      at: Moment,
      user_id: Type.String(),
      protocol: Type.String(),
      why: Type.String(),
      has: OneOf(["it", "perhaps"]),
    }),
    { description: "Connections that have ended and had it, newest first, at most 20." },
  ),
  recovered: Type.Array(
    Type.Object({ at: Moment, user_id: Type.String(), has: OneOf(["it", "perhaps"]) }),
    { description: "Clients that have come back and were sent it then, newest first, at most 20." },
  ),
  push: Type.Optional(
    Type.Object({
      state: OneOf(["waiting", "taken", "pushed", "expired"]),
      at: Type.Optional(Moment),
      devices: Type.Array(
        Type.Object({
          id: Type.String(),
          state: OneOf([
            "accepted",
            "gone",
            "refused",
            "unknown",
            "waiting",
            "given_up",
            "collapsed",
            "withdrawn",
          ]),
          attempts: Count,
          status: Type.Optional(
            Type.Integer({ description: "What its push service answered last." }),
          ),
          at: Moment,
        }),
      ),
    }),
  ),
  remembered_since: Type.String({
    format: "date-time",
    description: "What has ended or was recovered before that may have been forgotten.",
  }),
  nodes: Type.Object(
    { answered: Count, silent: Count },
    { description: "Nodes and workers. What those that were silent know is missing." },
  ),
});

export function receiversRoute({ relay, webPush, requireKey, security }: ReceiversOptions) {
  return (app: Elysia) =>
    app.get(
      "/publications/:topic/:offset",
      async ({ params: { topic, offset: text }, request }): Promise<Response> => {
        const given = orThrow(query(request.url, ReceiversQuery.names));
        const offset = Number(/^[1-9]\d{0,15}$/.exec(text)?.[0]);
        if (!Number.isSafeInteger(offset)) throw new Refused(noOffset());
        const found = orThrow(await relay.receivers.of(topic, offset, textOf(given, "epoch")));
        const { position, push } = found.publication;
        const fate = await webPush?.fates.at(topic, position);
        return Response.json(answerOf(found, { fate, push }, Date.now()), NOT_STORED);
      },
      {
        beforeHandle: requireKey("read"),
        params: ReceiversPath,
        response: {
          200: Receivers,
          ...errorAnswers(
            ...KEY_ERRORS,
            "no_history",
            "unknown_publication",
            "unrecoverable_position",
            "invalid_query",
            "invalid_topic",
            "engine_unavailable",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "Find out what became of a publication",
          [MORE_PARAMETERS]: ReceiversQuery.parameters,
          description:
            "Says which connections have it or had it when they ended, who recovered it, and what became of its push on each device, as far as all nodes still know.",
          security,
        },
      },
    );
}

function noOffset(): Refusal {
  return new Refusal(
    "invalid_query",
    "The path ends with the offset that the publish was answered with: /publications/tech/7.",
  );
}

function answerOf(
  { publication, nodes, connections, has, perhaps, ended, recovered, reachMs }: ReceiversAnswer,
  { fate, push }: { readonly fate: Fate | undefined; readonly push: string | undefined },
  now: number,
) {
  const { position, state, user } = publication;
  const at = (agoMs: number) => new Date(now - agoMs).toISOString();
  return {
    position: `${position.epoch}:${position.offset}`,
    state,
    user_id: user,
    connections: {
      have_it: has,
      may_have_it: perhaps,
      first: connections.map((row) => ({
        id: row.id,
        user_id: row.user,
        protocol: row.protocol,
        has: row.has,
      })),
    },
    ended: ended.map((row) => ({
      at: at(row.agoMs),
      user_id: row.user,
      protocol: row.protocol,
      why: row.why,
      has: row.has,
    })),
    recovered: recovered.map((row) => ({ at: at(row.agoMs), user_id: row.user, has: row.has })),
    push: pushOf(fate, push),
    remembered_since: at(reachMs),
    nodes,
  };
}

/** Of a push that nothing is kept of, it is not due yet. */
function pushOf(fate: Fate | undefined, push: string | undefined) {
  if (fate === undefined) return push === undefined ? undefined : { state: "waiting", devices: [] };
  return {
    state: fate.state,
    at: new Date(fate.at).toISOString(),
    devices: fate.devices.map(({ device, state, attempts, status, at }) => ({
      id: device,
      state,
      attempts,
      status,
      at: new Date(at).toISOString(),
    })),
  };
}
