// POST /publish, the route of backends that publish.
import type { Elysia } from "elysia";
import { type Log, throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { engineUnavailable, errorBody, Refusal } from "../../relay/contracts/errors";
import type { Maybe } from "../../relay/contracts/maybe";
import { all } from "../../relay/contracts/maybe";
import type { Published } from "../../relay/contracts/publication";
import type { Relay } from "../../relay/relay";
import { sanitized } from "../../relay/text/visible";
import type { ApiKeys } from "../access/keys";
import type { BodyReader } from "../http/body";
import { checkJsonType, isLines } from "../http/content-type";
import { BODY_ERRORS, bodyDocument, errorAnswers } from "../http/documents";
import type { KeepAlive } from "../http/keep-alive";
import type { OpenRequests } from "../http/open-requests";
import { internal, refusalOf, refuse } from "../http/refusal";
import { traceparentOf } from "../http/trace-context";
import type { RouteOptions } from "./options";
import { granted, headerKey, type PublishRequest, publishRequests } from "./publish-body";
import { publishLines } from "./publish-lines";
import { PublishAnswers, PublishBodies, PublishBody } from "./schemas";

type PublishAnswerOptions = Pick<RouteOptions, "relay" | "log" | "bodyBytes"> & {
  readonly grantsOf: ApiKeys["of"];
  readonly keepAlive: Pick<KeepAlive, "extend" | "suspend" | "resume" | "isConnected">;
  readonly openRequests: OpenRequests;
  readonly readBody: BodyReader;
};

type Answer = Published | Refusal;

/**
 * The work of POST /publish, without a framework around it. edge/server.ts calls it for the requests of backends, since
 * Elysia's way to a handler and back was a third of their cost; the route calls it for all others. The result rejects
 * only when the relay itself is at fault.
 */
export function publishAnswer({
  relay,
  log,
  grantsOf,
  bodyBytes,
  keepAlive,
  openRequests,
  readBody,
}: PublishAnswerOptions): RouteOptions["publish"] {
  const { tally } = relay;
  const publish = publishIn(relay, log);
  const logTraced = log.isLevelEnabled("debug") ? tracedLog(log) : undefined;
  const publishLine = withoutFaults(publish, log);
  const lines = publishLines({ relay, publish: publishLine, bodyBytes, keepAlive, openRequests });

  // One asynchronous function, which calls no other, and each header is read once: together that was a microsecond.
  return async (request) => {
    const { headers } = request;
    const grants = grantsOf(headers);
    if (grants instanceof Refusal) return refuse(tally.refused(grants));
    const refused = grants.checkSome("publish") ?? grants.limits.countRequest();
    if (refused !== undefined) return refuse(tally.refused(refused));
    const type = headers.get("content-type");
    const asLines = isLines(type);
    if (asLines !== false) {
      return asLines instanceof Refusal ? refuse(tally.refused(asLines)) : lines(request, grants);
    }
    try {
      const otherType = checkJsonType(type);
      if (otherType !== undefined) return refuse(tally.refused(otherType));
      const body = await readBody(request, bodyBytes);
      const commands = publishRequests(body, headerKey(headers));
      keepAlive.extend(request);
      const over = grants.limits.countPublications(Array.isArray(commands) ? commands.length : 1);
      if (over !== undefined) return refuse(tally.refused(over));
      if (Array.isArray(commands)) {
        const answers = await all(commands.map((command) => publish(granted(command, grants))));
        logTraced?.(request, commands, answers);
        return Response.json(
          answers.map((one) => (one instanceof Refusal ? errorBody(tally.refused(one)) : one)),
        );
      }
      const answer = publish(granted(commands, grants));
      const settled = answer instanceof Promise ? await answer : answer;
      logTraced?.(request, [commands], [settled]);
      return settled instanceof Refusal ? refuse(tally.refused(settled)) : Response.json(settled);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined) throw error;
      if (request.bodyUsed) keepAlive.extend(request);
      return refuse(tally.refused(refusal));
    }
  };
}

/** Publishes in this relay. The engine's failure is a refusal. */
function publishIn({ publisher }: Relay, log: Log): Publish {
  const logUnavailable = throttledLog(log, "the engine did not accept a publication");
  const failed = (error: unknown): Refusal => {
    if (!(error instanceof EngineUnavailable)) throw error;
    logUnavailable(error);
    return engineUnavailable();
  };
  return (command) => {
    if (command instanceof Refusal) return command;
    try {
      const published = publisher.publish(command);
      return published instanceof Promise ? published.catch(failed) : published;
    } catch (error) {
      return failed(error);
    }
  };
}

/** Logs what became of the publications of a request that belongs to a trace. */
function tracedLog(log: Log) {
  return (
    { headers }: Request,
    commands: readonly PublishRequest[],
    answers: readonly Answer[],
  ): void => {
    const traceparent = traceparentOf(headers);
    if (traceparent === undefined) return;
    for (const [i, answer] of answers.entries()) {
      const command = commands[i];
      const topic = command instanceof Refusal ? undefined : command?.topic;
      const fields = { traceparent, topic: topic && sanitized(topic) };
      if (answer instanceof Refusal) log.debug({ ...fields, code: answer.code }, "refused");
      else log.debug({ ...fields, ...answer }, "published");
    }
  };
}

type Publish = (command: PublishRequest) => Maybe<Answer>;

/** The same, except that a fault is an answer too: the other lines of the request go on. */
function withoutFaults(publish: Publish, log: Log): Publish {
  const logFault = throttledLog(log, "a line could not be published");
  const fault = (error: unknown): Refusal => {
    logFault(error);
    return internal();
  };
  return (command) => {
    try {
      const answer = publish(command);
      return answer instanceof Promise ? answer.catch(fault) : answer;
    } catch (error) {
      return fault(error);
    }
  };
}

const TRACEPARENT = {
  in: "header" as const,
  name: "traceparent",
  schema: { type: "string" as const },
  description:
    "The trace that the request belongs to (W3C Trace Context). At BATON_LOG_LEVEL=debug the log has a line for each of its publications with it. Requests of lines have none.",
};

const IDEMPOTENCY_KEY = {
  in: "header" as const,
  name: "Idempotency-Key",
  schema: { type: "string" as const, pattern: "^[\\x21-\\x7e]{1,255}$" },
  description:
    "A request that repeats a key in the same topic within BATON_IDEMPOTENCY_MS gets the first answer and publishes nothing. For an array, each place has a key of its own, made from this one.",
};

export function publishRoute({ publish, security }: RouteOptions) {
  return (app: Elysia) =>
    app.post("/publish", ({ request }) => publish(request), {
      parse: "none",
      response: {
        200: PublishAnswers,
        ...errorAnswers(
          ...BODY_ERRORS,
          "invalid_body",
          "message_too_large",
          "batch_too_large",
          "invalid_topic",
          "undeclared_topic",
          "invalid_data",
          "invalid_user",
          "invalid_message",
          "invalid_event",
          "invalid_push",
          "push_too_large",
          "not_available",
          "invalid_idempotency_key",
          "idempotency_conflict",
          "too_many_key_publications",
          "too_many_publications",
          "too_many_pushes",
          "too_many_streams",
          "shutting_down",
          "engine_unavailable",
        ),
      },
      detail: {
        tags: ["relay"],
        summary: "Publish to a topic, or to one user",
        requestBody: {
          ...bodyDocument(PublishBodies),
          content: {
            ...bodyDocument(PublishBodies).content,
            "application/x-ndjson": { schema: PublishBody as object },
          },
        },
        parameters: [IDEMPOTENCY_KEY, TRACEPARENT],
        description:
          "Every connection subscribed to the topic gets the message as one text frame, byte for byte. With user_id, only that user's connections among them get it. An array of up to 1,000 publications is answered by an array that has, at each place, the answer or the error of that publication. Lines of publications (application/x-ndjson) are answered by lines in the same order, while the request is open; an error has the number of its line.",
        security,
      },
    });
}
