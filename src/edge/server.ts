// The listening server: Bun.serve with a guard in front, Elysia for the routes and Bun's own sockets.
// Not Elysia's listen(): that sets reusePort, so a second Baton would start silently on the same port.
import type { Server } from "bun";
import type { Log } from "../log";
import { EngineUnavailable } from "../relay/contracts/engine";
import { engineUnavailable, type Refusal } from "../relay/contracts/errors";
import type { Relay } from "../relay/relay";
import type { Connection } from "../relay/state/connection";
import type { Settings } from "../settings/definitions";
import { guard } from "./access/guard";
import { keyCheck } from "./access/keys";
import { originCheck } from "./access/origins";
import type { ApiFormat } from "./centrifugo-api/methods";
import { refuse, refuseInternal } from "./http/refusal";
import { routes } from "./routes";
import type { SessionProtocols } from "./routes/centrifuge";
import { KEY } from "./routes/openapi";
import { publishAnswer } from "./routes/publish";
import type { Formats, Sockets } from "./transports/sockets";
import type { Streams } from "./transports/streams";

/** Bun must not refuse large bodies by itself: its answer has no body. edge/http/body.ts keeps the bound. */
const NO_BODY_LIMIT = 2 ** 40;

/** Cuts a client that sends its request a byte at a time; also how long a quiet keep-alive lasts. */
const HTTP_IDLE_S = 10;

export interface ServerOptions {
  readonly settings: Settings;
  readonly relay: Relay;
  readonly sockets: Sockets;
  readonly socketFormats: Formats;
  readonly streams: Streams;
  readonly streamFormats: Formats;
  readonly sessionProtocols: SessionProtocols;
  readonly apiFormat: ApiFormat;
  /** This relay's own name, for requests that belong to a stream of its. */
  readonly node: string;
  /** Whether other processes of this relay listen on the same port. */
  readonly shared: boolean;
  readonly log: Log;
}

/** Starts to listen. Throws what Bun throws when the address cannot be had, with its `code`. */
export function serve(options: ServerOptions): Server<Connection> {
  const { settings, relay, sockets, log } = options;
  const { bodyBytes, origins } = settings;
  const checkOrigin = originCheck(origins);
  const checkKey = keyCheck(settings.apiKeys);
  const shared = {
    ...options,
    handshake: sockets.handshake(relay),
    sessionHandshake: sockets.sessionHandshake(relay, options.sessionProtocols.socket),
    checkKey,
    publish: publishAnswer({ relay, log, checkKey, bodyBytes }),
    security: settings.apiKeys.length > 0 ? KEY : [],
    publicUrl: settings.publicUrl,
    origins,
    bodyBytes,
    frameBytes: settings.frameBytes,
  };
  // CORS headers cost a third of a publish, and a backend's POST, which sends no Origin, needs none: so the
  // same routes stand here twice.
  const bare = routes({ ...shared, crossOrigin: false }).compile();
  const forPages = routes({ ...shared, crossOrigin: true }).compile();

  const failed = (error: unknown): Response => {
    if (error instanceof EngineUnavailable) return refuse(engineUnavailable());
    throw error;
  };

  const server = Bun.serve<Connection>({
    hostname: settings.host,
    port: settings.port,
    reusePort: options.shared,
    development: false,
    idleTimeout: HTTP_IDLE_S,
    maxRequestBodySize: NO_BODY_LIMIT,
    fetch(request): Response | undefined | Promise<Response | undefined> {
      const { headers } = request;
      const foreign = checkOrigin(headers);
      if (foreign !== undefined) return refuse(foreign);
      const refused = guard(request, bodyBytes);
      if (refused !== undefined) {
        const origin = headers.get("origin");
        if (origin !== null) refused.headers.set("access-control-allow-origin", origin);
        return refused;
      }
      if (request.method === "POST") {
        if (headers.has("origin")) return forPages.fetch(request);
        return isPublish(request.url) ? shared.publish(request) : bare.fetch(request);
      }
      if (headers.has("upgrade") && SESSION_PATH.test(request.url)) {
        return upgraded(shared.sessionHandshake(request));
      }
      const asked = headers.has("upgrade") ? handshakeOf(request.url) : undefined;
      const protocol = asked && options.socketFormats[asked.format];
      if (asked === undefined || protocol === undefined) return forPages.fetch(request);
      const refusal = shared.handshake(request, asked.id, protocol);
      return refusal instanceof Promise ? refusal.then(upgraded, failed) : upgraded(refusal);
    },
    error(error) {
      log.error({ err: error }, "a request failed");
      return refuseInternal();
    },
    websocket: sockets.handlers(relay),
  });
  sockets.attach(server);
  options.streams.attach(server, relay);
  return server;
}

/** Bun wants no answer to a request that it has made a socket of. */
function upgraded(refusal: Refusal | undefined): Response | undefined {
  return refusal === undefined ? undefined : refuse(refusal);
}

const SESSION_PATH = /^[^/]*\/\/[^/]*\/connection\/websocket(?:\?|$)/;

/** Whether the path is just /publish. */
function isPublish(url: string): boolean {
  return url.endsWith("/publish") && url.indexOf("/", 8) === url.length - 8;
}

/**
 * What a usual handshake asks for, /ws/<32 characters>, perhaps with ?format=…. Such a request goes straight to the
 * sockets: answering an upgraded request with Elysia's empty Response was a quarter of the cost of opening.
 */
function handshakeOf(url: string): { id: string; format: string } | undefined {
  const [, id, format = ""] =
    /^[^/]*\/\/[^/]*\/ws\/([^/?]{32})(?:\?format=([a-z]{1,16}))?$/.exec(url) ?? [];
  return id === undefined ? undefined : { id, format };
}
