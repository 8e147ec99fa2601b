// The routes of Centrifuge clients: a WebSocket, and for networks that block it two kinds of streams with a way back
// (shared/centrifuge-protocol.md, 1 and 14).
import { Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import { Refusal } from "../../relay/contracts/errors";
import type { Protocol } from "../../relay/contracts/protocol";
import { bodyDocument, readJson, readText } from "../http/body";
import { granted, Refused } from "../http/refusal";
import type { RouteOptions } from ".";
import { EventStream, errorAnswers, Nothing, Switching } from "./schemas";

export interface SessionProtocols {
  readonly socket: Protocol;
  readonly stream: Protocol;
  readonly sse: Protocol;
}

const EmulationBody = Type.Object({
  session: Type.String({ description: "From the reply to connect." }),
  node: Type.String({ description: "From the same reply." }),
  data: Type.String({ description: "Commands, one to a line." }),
});

const COMMON = ["bad_request", "too_many_connections", "shutting_down"] as const;

export function sessions(options: RouteOptions) {
  const {
    relay,
    streams,
    sessionProtocols: protocols,
    sessionHandshake,
    frameBytes,
    node,
  } = options;

  const lines = async ({ request }: { request: Request }): Promise<Response> => {
    const commands = await readText(request, frameBytes);
    const answer = { first: "", type: "application/json; charset=utf-8" };
    return granted(streams.openSession(request, protocols.stream, commands, answer));
  };
  const events = (request: Request, commands: string): Response => {
    if (commands === "") {
      throw new Refused(new Refusal("bad_request", "cf_connect must have the first commands."));
    }
    // An empty line, so that buffers on the way pass the head on. The reference sends a CR with it, which the npm
    // package eventsource 2 cannot read when the first event comes in the same piece.
    const answer = { first: "\n", type: "text/event-stream; charset=utf-8" };
    return granted(streams.openSession(request, protocols.sse, commands, answer));
  };

  return (app: Elysia) =>
    app
      .get(
        "/connection/websocket",
        ({ request }) => {
          granted(sessionHandshake(request));
        },
        {
          detail: {
            tags: ["centrifuge"],
            summary: "Connect with a Centrifuge SDK",
            description: "The Centrifuge client protocol, version 2, in JSON, over a WebSocket.",
          },
          response: { 101: Switching, ...errorAnswers(...COMMON, "upgrade_required") },
        },
      )

      .post("/connection/http_stream", lines, {
        parse: "none",
        detail: {
          tags: ["centrifuge"],
          summary: "Connect with a Centrifuge SDK, without a WebSocket",
          description: "Commands in, one to a line; the response goes on with replies and pushes.",
        },
        response: {
          200: EventStream,
          ...errorAnswers(...COMMON, "body_too_large", "unsupported_media_type"),
        },
      })

      .get(
        "/connection/sse",
        ({ request }) => events(request, new URL(request.url).searchParams.get("cf_connect") ?? ""),
        {
          detail: {
            tags: ["centrifuge"],
            summary: "Connect with a Centrifuge SDK over Server-Sent Events",
            description: "The first commands are in `cf_connect`.",
          },
          response: { 200: EventStream, ...errorAnswers(...COMMON) },
        },
      )

      .post(
        "/connection/sse",
        async ({ request }) => events(request, await readText(request, frameBytes)),
        {
          parse: "none",
          detail: {
            tags: ["centrifuge"],
            summary: "The same, with the first commands in the body",
            description: "For clients that can send a body.",
          },
          response: {
            200: EventStream,
            ...errorAnswers(...COMMON, "body_too_large", "unsupported_media_type"),
          },
        },
      )

      .post(
        "/emulation",
        async ({ request }) => {
          const { value } = await readJson(request, frameBytes, false);
          if (!isEmulation(value)) {
            throw new Refused(
              new Refusal("bad_request", 'Send JSON like {"session":"…","node":"…","data":"…"}.'),
            );
          }
          const isFound = await relay.receiveFor(value.session, value.data);
          if (!isFound && value.node !== node) {
            throw new Refused(new Refusal("not_found", "There is no such node here."));
          }
          return new Response(null, { status: 204 });
        },
        {
          parse: "none",
          detail: {
            tags: ["centrifuge"],
            summary: "Commands for a stream of a Centrifuge SDK",
            description: "Their replies come on the stream. An unknown session answers the same.",
            requestBody: bodyDocument(EmulationBody),
          },
          response: {
            204: Nothing,
            ...errorAnswers(
              "bad_request",
              "malformed_json",
              "not_found",
              "body_too_large",
              "unsupported_media_type",
            ),
          },
        },
      );
}

function isEmulation(value: unknown): value is { session: string; node: string; data: string } {
  if (typeof value !== "object" || value === null) return false;
  const { session, node, data } = value as Record<string, unknown>;
  return typeof session === "string" && typeof node === "string" && typeof data === "string";
}
