// The server API as Centrifugo's libraries know it: POST /api/<method>, POST /api/batch for many methods, and POST /api
// for commands that name their method (docs/centrifuge-protocol.md, "Server API").
import type { Elysia } from "elysia";
import type { Log } from "../../log";
import { Refusal } from "../../relay/contracts/errors";
import type { Tally } from "../../relay/contracts/tally";
import type { Relay } from "../../relay/relay";
import { parseJson } from "../../relay/text/json";
import type { Grants } from "../access/keys";
import { readText, readUntypedJson } from "../http/body";
import { BODY_ERRORS, bodyDocument, errorAnswers } from "../http/documents";
import { JSON_NOT_STORED, orThrow, Refused } from "../http/refusal";
import { ApiCalls, noSuchMethod } from "./calls";
import { type ApiDocument, BATCH_DOCUMENT, COMMANDS_DOCUMENT, METHOD_DOCUMENTS } from "./documents";
import { type ApiFormat, errorIn, errorJson } from "./methods";
import { BATCH_COMMANDS_MAX } from "./shapes";

interface CentrifugoApiOptions {
  readonly relay: Relay;
  readonly log: Log;
  readonly apiFormat: ApiFormat;
  /** What the key of a request opens. Throws Refused where it has none. */
  readonly grantsOf: (request: Request) => Grants;
  /** The `security` of these routes in the OpenAPI document. */
  readonly security: Record<string, string[]>[];
  readonly bodyBytes: number;
}

/** HTTP statuses of error codes, for requests with X-Centrifugo-Error-Mode: transport. */
const STATUS: Readonly<Record<number, number>> = {
  102: 404,
  103: 403,
  104: 404,
  107: 400,
  108: 400,
  109: 409,
  111: 429,
  112: 416,
};

export function centrifugoApi(options: CentrifugoApiOptions) {
  const { relay, log, apiFormat, grantsOf, security, bodyBytes } = options;
  const calls = new ApiCalls(relay, apiFormat, log);
  const answer = answerIn(apiFormat, relay.tally);

  const requireKey = keyRequired(grantsOf);
  const documented = (document: ApiDocument) => ({
    parse: "none" as const,
    beforeHandle: requireKey,
    ...routeDocument(document, security),
  });

  return (app: Elysia) => {
    for (const [name, document] of Object.entries(METHOD_DOCUMENTS)) {
      app.post(
        `/api/${name}`,
        async ({ request }) => {
          const { text, value } = await readUntypedJson(request, bodyBytes);
          return answer(request, "result", await calls.run(name, value, text, grantsOf(request)));
        },
        documented(document),
      );
    }
    return (
      app
        .post(
          "/api/batch",
          async ({ request }) => {
            const { text, value } = await readUntypedJson(request, bodyBytes);
            const replies = await calls.batch(value, text, grantsOf(request));
            const isRefused = replies instanceof Refusal;
            return answer(request, "replies", isRefused ? replies : `[${replies.join(",")}]`);
          },
          documented(BATCH_DOCUMENT),
        )
        .post(
          "/api",
          async ({ request }) => {
            const grants = grantsOf(request);
            const replies: string[] = [];
            for (const command of commandsIn(await readText(request, bodyBytes))) {
              replies.push(await calls.command(command, grants));
            }
            return json(replies.join("\n"));
          },
          documented(COMMANDS_DOCUMENT),
        )
        // The key is checked first: without one, nobody learns which methods there are.
        .post(
          "/api/:method",
          ({ params: { method }, request }) => {
            // Centrifugo has this method; it answers in the same way when no call is configured.
            if (method === "rpc") return answer(request, "result", noSuchMethod());
            return orThrow(noSuchMethod());
          },
          { parse: "none", beforeHandle: requireKey, detail: { hide: true } },
        )
    );
  };
}

/** Counts a request with its key. Throws Refused where it has none, or too many came with it. */
function keyRequired(grantsOf: CentrifugoApiOptions["grantsOf"]) {
  return ({ request }: { readonly request: Request }) =>
    orThrow(grantsOf(request).limits.countRequest());
}

/** Writes answers: an object with one member, whose value is JSON text, or the error. */
function answerIn(format: ApiFormat, tally: Tally) {
  return (request: Request, member: string, value: string | Refusal): Response => {
    if (!(value instanceof Refusal)) return json(`{"${member}":${value}}`);
    tally.refused(value);
    const asStatus = request.headers.get("x-centrifugo-error-mode") === "transport";
    if (!asStatus) return json(errorJson(format, value));
    const error = errorIn(format, value);
    return json(JSON.stringify(error), STATUS[error.code] ?? 500);
  };
}

function routeDocument(
  { summary, description, body, answer, errors = [] }: ApiDocument,
  security: Record<string, string[]>[],
) {
  return {
    response: { 200: answer, ...errorAnswers(...BODY_ERRORS, ...errors) },
    detail: {
      tags: ["centrifuge"],
      summary,
      ...(description !== undefined && { description }),
      requestBody: bodyDocument(body),
      security,
    },
  };
}

/** The texts of the commands in a body: one to a line, or a single one over several lines. Throws Refused. */
function commandsIn(text: string): readonly string[] {
  if (isJson(text)) return [text];
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  if (lines.length > BATCH_COMMANDS_MAX) {
    const most = `A body may have at most ${BATCH_COMMANDS_MAX} commands.`;
    throw new Refused(new Refusal("batch_too_large", most));
  }
  if (lines.length > 0 && lines.every(isJson)) return lines;
  throw new Refused(new Refusal("malformed_json", "Send commands in JSON, one to a line."));
}

function isJson(text: string): boolean {
  try {
    parseJson(text);
    return true;
  } catch {
    return false;
  }
}

function json(text: string, status = 200): Response {
  return new Response(text, { status, ...JSON_NOT_STORED });
}
