// The routes of Centrifuge clients: a WebSocket, and for networks that block it two kinds of streams with a way back
// (shared/centrifuge-protocol.md, 1 and 14).
import type { Elysia } from "elysia";
import type { Protocol } from "../relay/protocol";
import { granted } from "./refusal";
import type { RouteOptions } from "./routes";
import { errorAnswers, Switching } from "./schemas";

export interface SessionProtocols {
  readonly socket: Protocol;
  readonly stream: Protocol;
  readonly sse: Protocol;
}

export function sessions({ sessionHandshake }: RouteOptions) {
  return (app: Elysia) =>
    app.get(
      "/connection/websocket",
      ({ request }) => {
        granted(sessionHandshake(request));
      },
      {
        detail: {
          tags: ["relay"],
          summary: "Connect with a Centrifuge SDK",
          description: "The Centrifuge client protocol, version 2, in JSON, over a WebSocket.",
        },
        response: {
          101: Switching,
          ...errorAnswers(
            "bad_request",
            "forbidden_origin",
            "upgrade_required",
            "too_many_connections",
            "shutting_down",
          ),
        },
      },
    );
}
