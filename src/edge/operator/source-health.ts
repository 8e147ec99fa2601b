// GET /health/sources: how each source of BATON_SOURCES_FILE is. It has a route of its own, since a source whose server is away must not take a
// relay out of its load balancer that serves everybody else.
import { Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import type { SourceStatus } from "../../sources/sources";
import { errorAnswers, KEY_ERRORS, type KeyedRouteOptions } from "../http/documents";
import { NOT_STORED } from "../http/refusal";

interface SourceHealthOptions extends KeyedRouteOptions {
  /** Over all nodes. Rejects with EngineUnavailable. */
  readonly sources: () => Promise<readonly SourceStatus[]>;
}

const Answer = Type.Object({
  sources: Type.Array(
    Type.Object({
      name: Type.String(),
      kind: Type.String(),
      state: Type.String({
        description:
          "reading: a node reads it. held: what was read waits, since the engine does not take it. opening: it is being connected to. down: its server cannot be reached or refuses, and the log says why. waiting: no node reads it, since the engine cannot say which may.",
      }),
      since_ms: Type.Integer({ minimum: 0, description: "For how long." }),
      failure: Type.Optional(Type.String({ description: "Why it is down." })),
      lost: Type.Integer({
        minimum: 0,
        description: "Records that were gone from the source before they were published.",
      }),
      lag: Type.Optional(
        Type.Integer({ minimum: 0, description: "Records that wait to be read, about." }),
      ),
    }),
  ),
});

export function sourceHealthRoute({ sources, requireKey, security }: SourceHealthOptions) {
  return (app: Elysia) =>
    app.get(
      "/health/sources",
      async (): Promise<Response> => {
        const found = await sources();
        const isWell = found.every(({ state }) => state === "reading");
        return Response.json(
          { sources: found.map(sourceJson) },
          { status: isWell ? 200 : 503, ...NOT_STORED },
        );
      },
      {
        beforeHandle: requireKey("metrics"),
        response: {
          200: Answer,
          503: Answer,
          ...errorAnswers(...KEY_ERRORS),
        },
        detail: {
          tags: ["relay"],
          summary: "Check whether all sources are read",
          description:
            "Each source of BATON_SOURCES_FILE, over all nodes: 200 when all of them are read, else 503. GET /health does not depend on it.",
          security,
        },
      },
    );
}

function sourceJson({ name, kind, state, sinceMs, lag, lost, failure }: SourceStatus) {
  return { name, kind, state, since_ms: Math.round(sinceMs), failure, lost, lag };
}
