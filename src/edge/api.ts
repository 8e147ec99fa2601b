// The backend's API as Centrifugo's libraries know it: POST /api/<method>, many methods in one batch, and
// all of them at POST /api (shared/centrifuge-protocol.md, 16).
import { type TSchema, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { Elysia } from "elysia";
import { EngineUnavailable } from "../relay/engine";
import { type ErrorCode, engineUnavailable, Refusal } from "../relay/errors";
import { rawItems, rawMember } from "../relay/json-text";
import { apiMethods, bad } from "./api-methods";
import { answerOf, Line, Replies } from "./api-results";
import { BATCH_MAX, Batch } from "./api-shapes";
import { bodyDocument, readJson, readText } from "./body";
import { granted, Refused } from "./refusal";
import type { RouteOptions } from "./routes";
import { errorAnswers } from "./schemas";

/** Of a body that is one command to a line. */
const Command = Type.Object({
  method: Type.String({ examples: ["publish"] }),
  params: Type.Optional(Type.Unknown({ description: "The body of the method." })),
});

const batchShape = TypeCompiler.Compile(Batch);
const commandShape = TypeCompiler.Compile(Command);

const API_ERRORS: readonly ErrorCode[] = [
  "bad_request",
  "malformed_json",
  "unauthorized",
  "body_too_large",
  "unsupported_media_type",
];

/** HTTP statuses for error codes, with X-Centrifugo-Error-Mode: transport. */
const STATUS: Readonly<Record<number, number>> = {
  102: 404,
  104: 404,
  107: 400,
  108: 400,
  109: 409,
  112: 416,
};

export function api({ relay, log, checkKey, security, bodyBytes, apiFormat }: RouteOptions) {
  const { errorOf } = apiFormat;
  const methods = apiMethods({ relay, format: apiFormat });

  const errorJson = (refusal: Refusal): string => {
    const { code, message } = errorOf(refusal);
    return JSON.stringify({ error: { code, message } });
  };

  const run = async (name: string, value: unknown, text: string): Promise<string | Refusal> => {
    const found = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (found === undefined) return noMethod();
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

  /** Commands like {"publish": {…}}, in order; replies like {"publish": {…}}. */
  const batch = async (value: unknown, text: string): Promise<string | Refusal> => {
    if (!batchShape.Check(value)) return bad("commands are needed, at most 1,000.");
    const texts = rawItems(rawMember(text, "commands") ?? "");
    const replies: string[] = [];
    for (const [i, command] of value.commands.entries()) {
      const [name, body] = Object.entries((command ?? {}) as object)[0] ?? ["", {}];
      const result = await run(name, body, rawMember(texts[i] ?? "", name) ?? "");
      replies.push(
        result instanceof Refusal ? errorJson(result) : `{${JSON.stringify(name)}:${result}}`,
      );
    }
    return `"replies":[${replies.join(",")}]`;
  };

  /** Commands like {"method": "publish", "params": {…}}, one to a line, as older libraries send all. */
  const lines = async (text: string): Promise<string> => {
    const commands = text.split("\n").filter((line) => line.trim() !== "");
    if (commands.length === 0) throw new Refused(malformed());
    if (commands.length > BATCH_MAX) throw new Refused(tooMany());
    const parsed = commands.map(commandIn);
    const replies: string[] = [];
    for (const [i, { method, params }] of parsed.entries()) {
      const result = await run(method, params, rawMember(commands[i] as string, "params") ?? "{}");
      replies.push(result instanceof Refusal ? errorJson(result) : `{"result":${result}}`);
    }
    return replies.join("\n");
  };

  /** `result` has the members of the answer. */
  const answer = (result: string | Refusal, request: Request): Response => {
    if (!(result instanceof Refusal)) return json(`{${result}}`);
    if (request.headers.get("x-centrifugo-error-mode") !== "transport") {
      return json(errorJson(result));
    }
    const { code, message } = errorOf(result);
    return json(JSON.stringify({ code, message }), STATUS[code] ?? 500);
  };

  /** What all routes have. */
  const route = (
    summary: string,
    body: TSchema,
    answers: TSchema,
    { description, errors = [] }: { description?: string; errors?: ErrorCode[] } = {},
  ) => ({
    parse: "none" as const,
    beforeHandle: checkKey,
    response: {
      200: answers,
      ...errorAnswers(...API_ERRORS, ...errors),
    },
    detail: {
      tags: ["centrifuge"],
      summary,
      ...(description !== undefined && { description }),
      requestBody: bodyDocument(body),
      security,
    },
  });

  return (app: Elysia) => {
    for (const [name, { summary, body, result }] of Object.entries(methods)) {
      app.post(
        `/api/${name}`,
        async ({ request }) => {
          const { text, value } = await readJson(request, bodyBytes, false);
          const outcome = await run(name, value, text);
          return answer(outcome instanceof Refusal ? outcome : `"result":${outcome}`, request);
        },
        route(summary, body, answerOf(result)),
      );
    }
    return (
      app
        .post(
          "/api/batch",
          async ({ request }) => {
            const { text, value } = await readJson(request, bodyBytes, false);
            return answer(await batch(value, text), request);
          },
          route("Call up to 1,000 methods, one after the other", Batch, Replies),
        )
        .post(
          "/api",
          async ({ request }) => json(await lines(await readText(request, bodyBytes))),
          // Of several lines it is not JSON, but what those libraries know.
          route("The same for older libraries", Command, Line, {
            description: "One such object to a line, at most 1,000, and for each a line like this.",
            errors: ["batch_too_large"],
          }),
        )
        // With its key checked first: who has none is not told which methods there are.
        .post(
          "/api/:method",
          ({ params: { method }, request }) => {
            // Calls are a method of theirs, of which no call is known here.
            return method === "rpc" ? answer(noMethod(), request) : granted(noMethod());
          },
          { parse: "none", beforeHandle: checkKey, detail: { hide: true } },
        )
    );
  };
}

function noMethod(): Refusal {
  return new Refusal("not_found", "There is no such method.");
}

function tooMany(): Refusal {
  return new Refusal("batch_too_large", `A body may have at most ${BATCH_MAX} commands.`);
}

function malformed(): Refusal {
  return new Refusal("malformed_json", "A line is not a command in JSON.");
}

/** Throws Refused. */
function commandIn(line: string): { method: string; params: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Refused(malformed());
  }
  if (!commandShape.Check(value)) throw new Refused(malformed());
  const { method, params = {} } = value as { method: string; params?: unknown };
  return { method, params };
}

function json(text: string, status = 200): Response {
  return new Response(text, {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
  });
}
