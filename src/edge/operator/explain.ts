// GET /explain: why something did not arrive, as far as all nodes of the relay know.
import { Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import { Refusal } from "../../relay/contracts/errors";
import type { Position } from "../../relay/contracts/publication";
import { EXPLANATIONS } from "../../relay/explanations/codes";
import type { Explanation } from "../../relay/explanations/explainer";
import type { ConnectionFacts, EndFacts, ResumptionFacts } from "../../relay/explanations/facts";
import type { Relay } from "../../relay/relay";
import { toUser } from "../../relay/text/checks";
import {
  Count,
  errorAnswers,
  KEY_ERRORS,
  type KeyedRouteOptions,
  Moment,
  OneOf,
  queryDocument,
} from "../http/documents";
import { query, textOf } from "../http/query";
import { NOT_STORED, orThrow, Refused } from "../http/refusal";

interface ExplainOptions extends KeyedRouteOptions {
  readonly relay: Relay;
}

const ExplainQuery = queryDocument({
  topic: Type.String({ description: "The topic; required." }),
  user: Type.String({ description: "The user who should have got it." }),
  position: Type.String({
    description:
      "The publication: `epoch` and `offset` of the answer to its publish, as epoch:offset. Give the user, the position, or both.",
    examples: ["abcdefgh:7"],
  }),
});

const PositionText = Type.String({ description: "epoch:offset" });
const Code = OneOf(Object.keys(EXPLANATIONS));

const ExplainAnswer = Type.Object({
  verdict: Code,
  findings: Type.Array(
    Type.Object({
      code: Code,
      message: Type.String({ description: "What is known about this case." }),
      action: Type.String({ description: "What to do about it." }),
    }),
    { description: "What explains best comes first; its code is the verdict." },
  ),
  publication: Type.Optional(
    Type.Object({
      position: PositionText,
      state: OneOf(["kept", "expired", "never_published", "other_epoch", "unnumbered"]),
      top: Type.Optional(PositionText),
      user_id: Type.Optional(Type.String({ description: "Set when it was for this user alone." })),
    }),
  ),
  subscribers: Type.Integer({ minimum: 0, description: "All that the topic has now." }),
  connections: Type.Array(
    Type.Object({
      id: Type.String(),
      protocol: Type.String(),
      since: Moment,
      state: OneOf(["subscribed", "subscribing", "not_subscribed"]),
      complete_since: Type.Optional(PositionText),
      sent_to: Type.Optional(PositionText),
      waiting_bytes: Count,
    }),
    { description: "The user's open connections, at most 20 of them." },
  ),
  ends: Type.Array(
    Type.Object({
      at: Moment,
      protocol: Type.String(),
      why: Type.String({ examples: ["slow_consumer"] }),
      code: Type.Optional(Type.Integer()),
      had_topic: Type.Optional(Type.Boolean()),
      position: Type.Optional(PositionText),
    }),
    { description: "How the user's last connections ended, newest first, at most 20 of them." },
  ),
  resumptions: Type.Array(
    Type.Object({
      at: Moment,
      recovered: Type.Boolean(),
      from: PositionText,
      to: Type.Optional(PositionText),
    }),
    { description: "When the user's clients asked for what they had missed in the topic." },
  ),
  remembered_since: Type.String({
    format: "date-time",
    description: "Ends and resumptions before that may have been forgotten.",
  }),
  nodes: Type.Object(
    { answered: Type.Integer(), silent: Type.Integer() },
    { description: "Nodes and workers. What those that were silent know is missing." },
  ),
});

export function explainRoute({ relay, requireKey, security }: ExplainOptions) {
  return (app: Elysia) =>
    app.get(
      "/explain",
      async ({ request }): Promise<Response> => {
        const given = orThrow(query(request.url, ExplainQuery.names));
        const topic = textOf(given, "topic");
        const userText = textOf(given, "user");
        const positionText = textOf(given, "position");
        if (topic === undefined || (userText === undefined && positionText === undefined)) {
          throw new Refused(incomplete());
        }
        const user = userText === undefined ? undefined : orThrow(toUser(userText));
        const position = positionText === undefined ? undefined : orThrow(positionOf(positionText));
        const question = { topic, user, position };
        const explanation = orThrow(await relay.explainer.explain(question));
        return Response.json(answerOf(explanation, Date.now()), NOT_STORED);
      },
      {
        beforeHandle: requireKey("read"),
        response: {
          200: ExplainAnswer,
          ...errorAnswers(
            ...KEY_ERRORS,
            "invalid_query",
            "invalid_topic",
            "invalid_user",
            "engine_unavailable",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "Find out why something did not arrive",
          parameters: ExplainQuery.parameters,
          description:
            "Says of a user and a topic, of a publication, or of both, what all nodes know: who was offline, not subscribed, not allowed or too slow, what was recovered later, and what was sent. docs/reference.md lists the codes.",
          security,
        },
      },
    );
}

function incomplete(): Refusal {
  return new Refusal(
    "invalid_query",
    "Give topic, and with it user, position or both: ?topic=tech&user=1&position=abcdefgh:7.",
  );
}

/** Refuses (`invalid_query`) what is not epoch:offset. */
function positionOf(text: string): Position | Refusal {
  const [, epoch, digits] = /^([^:]{1,64}):(\d{1,16})$/.exec(text) ?? [];
  const offset = Number(digits);
  if (epoch !== undefined && offset > 0 && Number.isSafeInteger(offset)) return { epoch, offset };
  return new Refusal(
    "invalid_query",
    "position must be the epoch and the offset that the publish was answered with, such as abcdefgh:7.",
  );
}

function answerOf({ findings, facts }: Explanation, now: number) {
  const { publication, connections, ends, resumptions, subscribers, reachMs, nodes } = facts;
  const at = (agoMs: number) => new Date(now - agoMs).toISOString();
  return {
    verdict: findings[0]?.code,
    findings,
    publication: publication && {
      position: textOfPosition(publication),
      state: publication.state,
      top: textOfPosition(publication.top),
      user_id: publication.user,
    },
    subscribers,
    connections: connections.map((one: ConnectionFacts) => ({
      id: one.id,
      protocol: one.protocol,
      since: at(one.ageMs),
      state: one.state,
      complete_since: textOfPosition(one.completeSince),
      sent_to: textOfPosition(one.sentTo),
      waiting_bytes: one.waitingBytes,
    })),
    ends: ends.map(({ agoMs, protocol, why, code, hadTopic, position }: EndFacts) => ({
      at: at(agoMs),
      protocol,
      why,
      code,
      had_topic: hadTopic,
      position: textOfPosition(position),
    })),
    resumptions: resumptions.map(({ agoMs, isRecovered, from, to }: ResumptionFacts) => ({
      at: at(agoMs),
      recovered: isRecovered,
      from: textOfPosition(from),
      to: textOfPosition(to),
    })),
    remembered_since: at(reachMs),
    nodes,
  };
}

function textOfPosition(position: Position | undefined): string | undefined {
  return position && `${position.epoch}:${position.offset}`;
}
