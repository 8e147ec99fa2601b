// The listening server: Bun.serve with a guard in front, Elysia for the routes and Bun's own sockets.
// Not Elysia's listen(): that sets reusePort, so a second Baton would start silently on the same port.
import type { Server } from "bun";
import type { Settings } from "../config";
import type { Connection } from "../relay/connection";
import type { Protocol } from "../relay/protocol";
import type { Relay } from "../relay/relay";
import { guard } from "./guard";
import type { Log } from "./log";
import { originAllowed } from "./origins";
import { refuseInternal } from "./refusal";
import { routes } from "./routes";
import type { Sockets } from "./sockets";

/** Bun must not refuse large bodies by itself: its answer has no body. edge/body.ts keeps the bound. */
const NO_BODY_LIMIT = 2 ** 40;

/** Cuts a client that sends its request a byte at a time; also how long a quiet keep-alive lasts. */
const HTTP_IDLE_S = 10;

export interface ServerOptions {
  readonly settings: Settings;
  readonly relay: Relay;
  readonly sockets: Sockets;
  readonly plain: Protocol;
  readonly log: Log;
}

/** Starts to listen. Throws what Bun throws when the address cannot be had, with its `code`. */
export function serve(options: ServerOptions): Server<Connection> {
  const { settings, relay, sockets, log } = options;
  const { bodyBytes, origins } = settings;
  const shared = {
    ...options,
    handshake: sockets.handshake(relay, origins),
    apiKeys: settings.apiKeys,
    publicUrl: settings.publicUrl,
    origins,
    bodyBytes,
  };
  // CORS headers cost a third of a publish, and only pages read them: a backend's POST sends no Origin,
  // and the answer to a handshake is not readable for a page. So the same routes stand here twice.
  const bare = routes({ ...shared, crossOrigin: false }).compile();
  const forPages = routes({ ...shared, crossOrigin: true }).compile();

  const server = Bun.serve<Connection>({
    hostname: settings.host,
    port: settings.port,
    reusePort: false,
    development: false,
    idleTimeout: HTTP_IDLE_S,
    maxRequestBodySize: NO_BODY_LIMIT,
    fetch(request) {
      const refused = guard(request, bodyBytes);
      const { headers } = request;
      if (refused === undefined) {
        const page = request.method === "POST" ? headers.has("origin") : !headers.has("upgrade");
        return page ? forPages.fetch(request) : bare.fetch(request);
      }
      const origin = headers.get("origin");
      if (origin !== null && originAllowed(origin, origins)) {
        refused.headers.set("access-control-allow-origin", origin);
      }
      return refused;
    },
    error(error) {
      log.error({ err: error }, "a request failed");
      return refuseInternal();
    },
    websocket: sockets.handlers(relay),
  });
  sockets.attach(server);
  return server;
}
