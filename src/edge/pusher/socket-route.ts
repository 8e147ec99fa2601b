// GET /app/:key as a route, for the API page and for requests that are no usual handshakes.
import { Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import { errorAnswers, MEDIA_TYPE } from "../http/documents";
import { orThrow } from "../http/refusal";
import type { PusherHandshake } from "./handshake";

const Switching = Type.String({
  maxLength: 0,
  description: "The connection becomes a WebSocket.",
  [MEDIA_TYPE]: null,
});

export function pusherSocketRoute(handshake: PusherHandshake) {
  return (app: Elysia) =>
    app.get(
      "/app/:key",
      ({ request }) => {
        orThrow(handshake(request));
      },
      {
        params: Type.Object({ key: Type.String({ description: "The key of an app." }) }),
        detail: {
          tags: ["pusher"],
          summary: "Connect with a Pusher client",
          description:
            "The Pusher protocol, versions 5 to 7. A key that no app has gets a socket too, with the error and the close code 4001, because clients do not notice a refused handshake.",
        },
        response: {
          101: Switching,
          ...errorAnswers(
            "bad_request",
            "too_many_address_connections",
            "too_many_attempts",
            "too_many_connections",
            "upgrade_required",
          ),
        },
      },
    );
}
