// The routes of the backend: POST /publish and GET /topics/:topic/history.

import type { Elysia } from "elysia";
import { throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { engineUnavailable, errorBody, Refusal } from "../../relay/contracts/errors";
import type { Publication, Published } from "../../relay/contracts/publication";
import { bodyDocument } from "../http/body";
import { type PublishRequest, publishReader } from "../http/publish-body";
import { flagOf, query, wholeOf } from "../http/query";
import { granted, Refused, refuse } from "../http/refusal";
import type { RouteOptions } from ".";
import {
  BODY_ERRORS,
  errorAnswers,
  HistoryAnswer,
  HistoryQuery,
  PublishAnswers,
  PublishBodies,
  TopicParameter,
} from "./schemas";

/** Publications in one answer of history: at 64 KiB each that is 64 MiB. */
const HISTORY_LIMIT_MAX = 1_000;
const HISTORY_LIMIT = 100;

/** Answers a POST to /publish. Never rejects but for a fault of ours. */
export type PublishAnswer = (request: Request) => Promise<Response>;

/**
 * The work of POST /publish, without a framework around it: edge/server.ts calls it for a backend's requests, since
 * Elysia's way to a handler and back was a third of their cost. The route calls it for all others.
 */
export function publishAnswer({
  relay,
  log,
  checkKey,
  bodyBytes,
}: PublishingOptions): PublishAnswer {
  const readPublish = publishReader(bodyBytes);
  const complain = throttledLog(log, "the engine did not take a publication");

  /** The engine's failure as a refusal, logged. */
  const failed = (error: unknown): Refusal => {
    if (!(error instanceof EngineUnavailable)) throw error;
    complain(error);
    return engineUnavailable();
  };

  const publish = (command: PublishRequest): Answer | Promise<Answer> => {
    if (command instanceof Refusal) return command;
    try {
      const published = relay.publish(command);
      return published instanceof Promise ? published.catch(failed) : published;
    } catch (error) {
      return failed(error);
    }
  };

  return async (request) => {
    try {
      checkKey({ request });
      const commands = await readPublish(request);
      if (!Array.isArray(commands)) {
        const answer = publish(commands);
        const settled = answer instanceof Promise ? await answer : answer;
        return settled instanceof Refusal ? refuse(settled) : Response.json(settled);
      }
      const answers = commands.map(publish);
      const settled = answers.some((answer) => answer instanceof Promise)
        ? await Promise.all(answers)
        : (answers as Answer[]);
      return Response.json(
        settled.map((answer) => (answer instanceof Refusal ? errorBody(answer) : answer)),
      );
    } catch (error) {
      if (error instanceof Refused) return refuse(error.refusal);
      throw error;
    }
  };
}

type PublishingOptions = Pick<RouteOptions, "relay" | "log" | "checkKey" | "bodyBytes">;

export function publishing({ relay, checkKey, security, publish }: RouteOptions) {
  return (app: Elysia) =>
    app
      .post("/publish", ({ request }) => publish(request), {
        parse: "none",
        response: {
          200: PublishAnswers,
          ...errorAnswers(
            ...BODY_ERRORS,
            "message_too_large",
            "batch_too_large",
            "invalid_topic",
            "invalid_user",
            "invalid_message",
            "invalid_idempotency_key",
            "idempotency_conflict",
            "too_many_publications",
            "too_many_idempotency_keys",
            "shutting_down",
            "engine_unavailable",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "Publish to a topic, or to one user",
          requestBody: bodyDocument(PublishBodies),
          parameters: [
            {
              in: "header",
              name: "Idempotency-Key",
              schema: { type: "string", pattern: "^[\\x21-\\x7e]{1,255}$" },
              description:
                "The same key in the same topic within BATON_IDEMPOTENCY_MS gives the first answer and publishes nothing. For a batch, it stands for a key of its own for each place.",
            },
          ],
          description:
            "Every connection subscribed to the topic gets the message as one text frame, byte for byte; with user_id only that user's connections among them. An array of up to 1,000 publications is answered by an array: for each, in its place, the answer or its error.",
          security,
        },
      })

      .get(
        "/topics/:topic/history",
        async ({ params: { topic }, request }) => {
          const given = granted(query(request.url, Object.keys(HistoryQuery.properties)));
          const limit = granted(wholeOf(given, "limit")) ?? HISTORY_LIMIT;
          const reverse = granted(flagOf(given, "reverse"));
          const range = {
            since: granted(wholeOf(given, "since")),
            limit: Math.min(limit, HISTORY_LIMIT_MAX),
            reverse,
          };
          const page = granted(await relay.backend.history(topic, range));
          if (page.top === undefined) {
            throw new Refused(new Refusal("no_history", "This topic keeps no history."));
          }
          const epoch = given.get("epoch");
          if (epoch !== undefined && epoch !== page.top.epoch) {
            throw new Refused(
              new Refusal(
                "unrecoverable_position",
                `The topic's epoch is ${page.top.epoch}: its history has begun anew, and offsets of another epoch mean nothing.`,
              ),
            );
          }
          const { offset, epoch: current } = page.top;
          const publications = page.publications.map(item).join(",");
          return new Response(
            `{"offset":${offset},"epoch":"${current}","publications":[${publications}]}`,
            { headers: { "content-type": "application/json", "cache-control": "no-store" } },
          );
        },
        {
          beforeHandle: checkKey,
          params: TopicParameter,
          response: {
            200: HistoryAnswer,
            ...errorAnswers(
              "bad_request",
              "unauthorized",
              "no_history",
              "unrecoverable_position",
              "invalid_query",
              "invalid_topic",
              "engine_unavailable",
            ),
          },
          detail: {
            tags: ["relay"],
            summary: "Read a topic's history",
            parameters: HistoryQuery.parameters,
            description:
              "Publications after the offset `since`, oldest first; with `reverse` those before it, newest first. Publications to single users are among them, with their user_id.",
            security,
          },
        },
      );
}

type Answer = Published | Refusal;

/** JSON data stands in it with its bytes unchanged. */
function item({ data, json, user, offset }: Publication): string {
  const to = user === undefined ? "" : `,"user_id":${JSON.stringify(user)}`;
  return `{"offset":${offset},"data":${json === true ? data : JSON.stringify(data)}${to}}`;
}
