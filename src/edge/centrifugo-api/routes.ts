// The backend's API as Centrifugo's libraries know it: POST /api/<method>, many methods in one batch, and POST /api with
// commands that name their method (shared/centrifuge-protocol.md, 16).

import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { Elysia } from "elysia";
import { throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { engineUnavailable, Refusal } from "../../relay/contracts/errors";
import { rawItems, rawMember } from "../../relay/text/json";
import { bodyDocument, readJson, readText } from "../http/body";
import { granted, Refused } from "../http/refusal";
import type { RouteOptions } from "../routes";
import { errorAnswers } from "../routes/schemas";
import {
  API_ERRORS,
  type ApiDocument,
  BATCH_DOCUMENT,
  COMMANDS_DOCUMENT,
  METHOD_DOCUMENTS,
} from "./documents";
import { apiMethods, bad } from "./methods";
import { BATCH_MAX, Batch, Command } from "./shapes";

const batchShape = TypeCompiler.Compile(Batch);
const commandShape = TypeCompiler.Compile(Command);

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
  const complain = throttledLog(log, "the engine did not take a call");
  const methods = apiMethods({ relay, format: apiFormat });

  const errorJson = (refusal: Refusal): string => {
    const { code, message } = errorOf(refusal);
    return JSON.stringify({ error: { code, message } });
  };

  const run = async (name: string, body: unknown, text: string): Promise<string | Refusal> => {
    const value = asSent(body);
    const found = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (found === undefined) return new Refusal("not_found", "There is no such method.");
    if (!found.shape.Check(value)) {
      const error = found.shape.Errors(value).First();
      return bad(`${error?.path ?? ""}: ${error?.message ?? "wrong shape"}.`);
    }
    const { channel } = value as { channel?: unknown };
    const unknown = typeof channel === "string" ? relay.backend.checkKnown(channel) : undefined;
    if (unknown !== undefined) return unknown;
    try {
      return await found.run(value as never, text);
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      complain(error);
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

  /** A command like {"method": "publish", "params": {…}}; its reply has its id, if it has one. */
  const obey = async (text: string): Promise<string> => {
    const command: unknown = JSON.parse(text);
    if (!commandShape.Check(command)) return errorJson(bad("method and params are needed."));
    const { id, method, params = {} } = command;
    const result = await run(method, params, rawMember(text, "params") ?? "{}");
    const reply = result instanceof Refusal ? errorJson(result) : `{"result":${result}}`;
    return id === undefined ? reply : `{"id":${id},${reply.slice(1)}`;
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
  const route = ({ summary, description, body, answer, errors = [] }: ApiDocument) => ({
    parse: "none" as const,
    beforeHandle: checkKey,
    response: { 200: answer, ...errorAnswers(...API_ERRORS, ...errors) },
    detail: {
      tags: ["centrifuge"],
      summary,
      ...(description !== undefined && { description }),
      requestBody: bodyDocument(body),
      security,
    },
  });

  return (app: Elysia) => {
    for (const [name, document] of Object.entries(METHOD_DOCUMENTS)) {
      app.post(
        `/api/${name}`,
        async ({ request }) => {
          const { text, value } = await readJson(request, bodyBytes, false);
          const result = await run(name, value, text);
          return answer(result instanceof Refusal ? result : `"result":${result}`, request);
        },
        route(document),
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
          route(BATCH_DOCUMENT),
        )
        .post(
          "/api",
          async ({ request }) => {
            const commands = commandsIn(await readText(request, bodyBytes));
            const replies: string[] = [];
            for (const command of commands) replies.push(await obey(command));
            return json(replies.join("\n"));
          },
          route(COMMANDS_DOCUMENT),
        )
        // With its key checked first: who has none is not told which methods there are.
        .post(
          "/api/:method",
          ({ params: { method: name }, request }) => {
            const refusal = new Refusal("not_found", "There is no such method.");
            // Calls are a method of theirs, of which no call is known here.
            return name === "rpc" ? answer(refusal, request) : granted(refusal);
          },
          { parse: "none", beforeHandle: checkKey, detail: { hide: true } },
        )
    );
  };
}

/**
 * Libraries in Go send null for what is not there, and rely on names in any case: gocent 3 has "Disconnect" among its
 * members.
 */
function asSent(body: unknown): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const members = Object.entries(body).filter(([, value]) => value !== null);
  return Object.fromEntries(members.map(([name, value]) => [name.toLowerCase(), value]));
}

/** The texts of commands: one to a line, or one alone over many. Throws Refused. */
function commandsIn(text: string): readonly string[] {
  if (isJson(text)) return [text];
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length > BATCH_MAX) {
    throw new Refused(
      new Refusal("batch_too_large", `A body may have at most ${BATCH_MAX} commands.`),
    );
  }
  if (lines.length > 0 && lines.every(isJson)) return lines;
  throw new Refused(new Refusal("malformed_json", "Send commands in JSON, one to a line."));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function json(text: string, status = 200): Response {
  return new Response(text, {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store" },
  });
}
