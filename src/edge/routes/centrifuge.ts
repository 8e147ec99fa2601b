// The routes of Centrifuge clients: a WebSocket, and for networks that block it two kinds of streams, with a POST route
// for the client's commands (docs/centrifuge-protocol.md, "Connecting" and "Streams and emulation").
import { Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import { Refusal } from "../../relay/contracts/errors";
import { searchOf } from "../access/address";
import { bodyTooLarge, readBytes, readText, readUntypedJson } from "../http/body";
import { isBinaryType } from "../http/content-type";
import { bodyDocument, errorAnswers, Switching } from "../http/documents";
import { orThrow, Refused } from "../http/refusal";
import type { RouteOptions } from "./options";
import { EventStream, LineStream, Nothing } from "./schemas";

const COMMON_ERRORS = [
  "bad_request",
  "too_many_address_connections",
  "too_many_attempts",
  "too_many_connections",
  "shutting_down",
] as const;

/** Declares a body in protobuf, in requests and in answers. */
const BINARY_TYPE = "application/octet-stream";

const STREAM_ERRORS = [...COMMON_ERRORS, "engine_unavailable", "keys_unavailable"] as const;

const STREAM_ANSWERS = { 200: EventStream, ...errorAnswers(...STREAM_ERRORS) };
const POSTED_STREAM_ERRORS = errorAnswers(
  ...STREAM_ERRORS,
  "body_too_large",
  "unsupported_media_type",
);

export function centrifugeRoutes(options: RouteOptions) {
  return (app: Elysia) =>
    app
      .use(websocketRoute(options))
      .use(httpStreamRoute(options))
      .use(sseRoutes(options))
      .use(emulationRoute(options));
}

function websocketRoute({ sessionHandshake }: RouteOptions) {
  return (app: Elysia) =>
    app.get(
      "/connection/websocket",
      ({ request }) => {
        orThrow(sessionHandshake(request));
      },
      {
        detail: {
          tags: ["centrifuge"],
          summary: "Connect with a Centrifuge SDK",
          description:
            "The Centrifuge client protocol, version 2, over a WebSocket: in JSON, or in protobuf for clients that offer the subprotocol `centrifuge-protobuf` or have `format=protobuf` in the address.",
        },
        response: { 101: Switching, ...errorAnswers(...COMMON_ERRORS, "upgrade_required") },
      },
    );
}

function httpStreamRoute({ streams, sessionProtocols, frameBytes }: RouteOptions) {
  const text = { first: "", type: "application/json; charset=utf-8" };
  const binary = { first: "", type: BINARY_TYPE };
  return (app: Elysia) =>
    app.post(
      "/connection/http_stream",
      async ({ request }): Promise<Response> => {
        const isBinary = isBinaryType(request.headers.get("content-type"));
        const commands = await (isBinary ? readBytes : readText)(
          request,
          frameBytes,
          "BATON_FRAME_BYTES",
        );
        const { stream } = sessionProtocols[isBinary ? "binary" : "text"];
        const answer = isBinary ? binary : text;
        return orThrow(await streams.openSession(request, stream, commands, answer));
      },
      {
        parse: "none",
        detail: {
          tags: ["centrifuge"],
          summary: "Connect with a Centrifuge SDK, without a WebSocket",
          description:
            "The body has the first commands, one to a line. The response does not end: replies and pushes follow in it, one to a line. With the Content-Type application/octet-stream, both are in protobuf.",
        },
        response: { 200: LineStream, ...POSTED_STREAM_ERRORS },
      },
    );
}

function sseRoutes({ streams, sessionProtocols, frameBytes }: RouteOptions) {
  // The stream begins with an empty line, so that buffers on the way pass its head on. The reference server sends a CR
  // with it, which the npm package eventsource 2 cannot read when the first event comes in the same piece.
  const answer = { first: "\n", type: "text/event-stream; charset=utf-8" };
  const open = async (request: Request, commands: string): Promise<Response> => {
    if (commands === "") {
      throw new Refused(new Refusal("bad_request", "cf_connect must have the first commands."));
    }
    const opened = await streams.orLater(request, () =>
      streams.openSession(request, sessionProtocols.text.sse, commands, answer),
    );
    return orThrow(opened);
  };
  return (app: Elysia) =>
    app
      .get(
        "/connection/sse",
        ({ request }) =>
          open(request, new URLSearchParams(searchOf(request.url)).get("cf_connect") ?? ""),
        {
          detail: {
            tags: ["centrifuge"],
            summary: "Connect with a Centrifuge SDK over Server-Sent Events",
            description: "The first commands are in the parameter `cf_connect`.",
          },
          response: STREAM_ANSWERS,
        },
      )
      .post(
        "/connection/sse",
        async ({ request }) =>
          open(request, await readText(request, frameBytes, "BATON_FRAME_BYTES")),
        {
          parse: "none",
          detail: {
            tags: ["centrifuge"],
            summary: "Connect over Server-Sent Events, with the first commands in the body",
            description: "For clients whose EventSource can send a body.",
          },
          response: { 200: EventStream, ...POSTED_STREAM_ERRORS },
        },
      );
}

/** Commands are a text in the JSON of the body, where each of their quotes and backslashes takes two characters. */
const ESCAPED_MAX = 2;

/** What a body has besides the commands: the session, the node and the names of members. */
const ENVELOPE_BYTES = 1_024;

const EmulationBody = Type.Object({
  session: Type.String({ description: "The session of the reply to connect." }),
  node: Type.String({ description: "The node of the same reply." }),
  data: Type.String({ description: "Commands, one to a line." }),
});

function emulationRoute({ relay, frameBytes, node, sessionProtocols }: RouteOptions) {
  const { decodeEmulation } = sessionProtocols.binary;
  const read = async (request: Request) => {
    if (isBinaryType(request.headers.get("content-type"))) {
      const bodyBytes = frameBytes + ENVELOPE_BYTES;
      const value = decodeEmulation(await readBytes(request, bodyBytes, "BATON_FRAME_BYTES"));
      if (value !== undefined) return value;
      throw new Refused(new Refusal("bad_request", "The body is not an emulation request."));
    }
    const bodyBytes = ESCAPED_MAX * frameBytes + ENVELOPE_BYTES;
    const { value } = await readUntypedJson(request, bodyBytes, "BATON_FRAME_BYTES");
    if (isEmulation(value)) return value;
    throw new Refused(
      new Refusal("bad_request", 'Send JSON like {"session":"…","node":"…","data":"…"}.'),
    );
  };
  return (app: Elysia) =>
    app.post(
      "/emulation",
      async ({ request }) => {
        const value = await read(request);
        if (Buffer.byteLength(value.data) > frameBytes) {
          throw new Refused(bodyTooLarge(frameBytes, "BATON_FRAME_BYTES"));
        }
        const isFound = await relay.receiveFor(value.session, value.data);
        if (!isFound && value.node !== node) {
          throw new Refused(new Refusal("not_found", "This relay has no such node."));
        }
        return new Response(null, { status: 204 });
      },
      {
        parse: "none",
        detail: {
          tags: ["centrifuge"],
          summary: "Send commands to the stream of a Centrifuge SDK",
          description:
            "The replies come on the stream. A request for an unknown session gets the same answer. With the Content-Type application/octet-stream, the body is in protobuf.",
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
