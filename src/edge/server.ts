// The listening server. It is a small router of its own in front of two Elysia apps that have the same routes. The doors that do not lead
// to these apps are the busy ones: Elysia's way to a handler and back was a quarter to a third of their cost.
//
// | request                                           | door                                                      |
// | ------------------------------------------------- | --------------------------------------------------------- |
// | POST /publish of a backend, with nothing unusual  | `publish`, by Bun's router: its URL is never made         |
// | any, with a foreign Origin, a bad Host or path,   | refused here, before any routing                          |
// |   or a body that is too long                      |                                                           |
// | any other POST /publish without an Origin         | `publish`: the route's work, without Elysia               |
// | POST of a Pusher backend, if there are apps       | `pusher.api`: the work of its routes, without Elysia      |
// | any other POST without an Origin (a backend)      | `backendApp`: the routes without CORS headers             |
// | upgrade of /connection/websocket                  | `sessionHandshake`: a Centrifuge client's socket          |
// | upgrade of /app/…, if there are apps              | `pusher.openSocket`: a Pusher client's socket             |
// | upgrade of /ws/<32 characters>, known format      | `handshake`: a registered client's socket                 |
// | any other with an Origin (a page)                 | `pageApp`: the routes with CORS headers                   |
// | any other without one                             | `backendApp`                                              |
//
// CORS headers cost a third of a publish, and whoever sends no Origin does not need them: hence two apps.
import type { Server, WebSocketHandler } from "bun";
import type { Log } from "../log";
import { EngineUnavailable } from "../relay/contracts/engine";
import { engineUnavailable, type Refusal } from "../relay/contracts/errors";
import type { Tally } from "../relay/contracts/tally";
import type { Relay } from "../relay/relay";
import type { Connection } from "../relay/state/connection";
import type { Settings } from "../settings/definitions";
import type { SourceStatus } from "../sources/sources";
import { guard, isHost } from "./access/guard";
import type { ApiKeys } from "./access/keys";
import { AddressLimits } from "./access/limits/address-limits";
import { ClientAddresses } from "./access/limits/client-addresses";
import { allowedOrigins, originCheck } from "./access/origins";
import { TurnShare } from "./access/turn-share";
import type { ApiFormat } from "./centrifugo-api/methods";
import { type BodyReader, checkLength, readBytes, readUntimed } from "./http/body";
import { isLines } from "./http/content-type";
import { HTTP_IDLE_S, hasBody, KeepAlive } from "./http/keep-alive";
import type { OpenRequests } from "./http/open-requests";
import {
  isEventSource,
  isProbe,
  isPublish,
  isPusherApi,
  isPusherSocket,
  isSessionSocket,
  socketPath,
} from "./http/paths";
import { internal, orThrow, refuse } from "./http/refusal";
import { type ListenerSettings, Listeners } from "./listeners/listeners";
import type { WebPush } from "./push/web-push";
import type { PusherApps } from "./pusher/apps";
import type { PusherFormat } from "./pusher/names";
import { pusherDoors } from "./pusher/routes";
import { laterRoutes, routes } from "./routes";
import { KEY } from "./routes/openapi";
import type {
  RouteOptions,
  SessionProtocols,
  SocketFormats,
  StreamFormats,
} from "./routes/options";
import { publishAnswer } from "./routes/publish";
import type { Sockets } from "./transports/sockets";
import type { Streams } from "./transports/streams";

/** Lets every body through Bun, whose own refusal has no body; edge/http/body.ts enforces the bound. */
const NO_BODY_LIMIT_BYTES = 2 ** 40;

/** At least so many requests are answered in a turn of the event loop whatever they cost: clients that send a few at once get all answers. */
const REQUESTS_FREE = 128;

export interface ServerOptions {
  readonly settings: Settings;
  readonly apiKeys: ApiKeys;
  readonly pusher: { readonly apps: PusherApps; readonly format: PusherFormat };
  readonly webPush: Pick<WebPush, "devices" | "fates"> | undefined;
  readonly relay: Relay;
  readonly sockets: Sockets;
  readonly socketFormats: SocketFormats;
  readonly streams: Streams;
  readonly streamFormats: StreamFormats;
  readonly openRequests: OpenRequests;
  readonly sessionProtocols: SessionProtocols;
  /** What all paths begin with, in a server that serves others too; "" in one of Baton's own. */
  readonly prefix: string;
  /** Whether the server speaks TLS. */
  readonly isTls: boolean;
  readonly apiFormat: ApiFormat;
  /** The name of this relay process, for requests that belong to one of its streams. */
  readonly node: string;
  /** Whether other processes of this relay listen on the same port. */
  readonly shared: boolean;
  /** Answers with the metrics. */
  readonly metrics: () => Promise<Response>;
  /** How each source is, over all nodes. */
  readonly sources: () => Promise<readonly SourceStatus[]>;
  /** How many files the process has open, at least. */
  readonly openFiles: () => number;
  readonly log: Log;
}

/** What a server serves, whoever starts it. */
export interface Front extends Doors {
  readonly websocket: WebSocketHandler<Connection>;
  /** The answer to a request that has failed through a fault of ours. */
  readonly error: (error: Error) => Response;
  /** To be called before the first request, with the server that it comes from. */
  readonly attach: (server: Server<Connection>) => void;
}

/** What node.ts needs of whatever listens. */
export type NodeServer = Pick<
  Listeners,
  "url" | "certificate" | "isBusy" | "renew" | "stopListening" | "stop"
>;

/** Starts to listen. When the address cannot be used, throws Bun's error with its `code`. */
export function serve(options: ServerOptions): NodeServer {
  const { settings } = options;
  // Over HTTP/1.1 Bun ends a connection whose request takes longer than HTTP_IDLE_S.
  const readBody = settings.http2 ? readBytes : readUntimed;
  const served = front(options, () => listeners.url, readBody);
  const { any, publish, websocket, error, attach } = served;
  // Not Elysia's listen(): it sets reusePort, so that a second Baton would silently start on the same port.
  const common = {
    hostname: settings.host,
    development: false,
    idleTimeout: HTTP_IDLE_S,
    maxRequestBodySize: NO_BODY_LIMIT_BYTES,
    routes: { "/publish": { POST: publish } },
    fetch: any,
    error,
    websocket,
  };
  const listen = ({ port, reusePort, certificate }: ListenerSettings): Server<Connection> =>
    Bun.serve<Connection>({
      ...common,
      port,
      reusePort,
      ...tlsOf(certificate),
      ...(settings.http2 && { http2: true }),
    });
  const listeners: Listeners = new Listeners({ ...listeningOptions(options), listen, attach });
  return listeners;
}

/**
 * `listening` is where the server listens, such as http://127.0.0.1:8000. `readBody` reads what backends publish: within a time of its
 * own, unless the server is known to bound it.
 */
export function front(
  options: ServerOptions,
  listening: () => string,
  readBody: BodyReader = readBytes,
): Front {
  const { settings, relay, sockets, log } = options;
  const connectionsOpen = (): number => relay.connections.open;
  const keepAlive = new KeepAlive({ ...settings, connectionsOpen, openFiles: options.openFiles });
  const share = new TurnShare(REQUESTS_FREE);
  const addresses = new ClientAddresses(settings.trustedProxies, log);
  const addressLimits = new AddressLimits({
    limits: settings,
    addresses,
    hasKey: options.apiKeys.has,
    log,
  });
  const parts = { keepAlive, addressLimits, listening, readBody };
  const { paths, any, publish } = limited(router(options, parts), options, addressLimits);
  return {
    paths,
    any: inTurns(any, share),
    publish: inTurns(publish, share),
    error(error) {
      log.error({ err: error }, "a request failed");
      return refuse(relay.tally.refused(internal()));
    },
    websocket: sockets.handlers(relay),
    attach(server) {
      keepAlive.attach(server);
      addresses.attach(server);
      sockets.attach(server);
      options.streams.attach(server, relay, addressLimits);
    },
  };
}

function tlsOf(certificate: ListenerSettings["certificate"]) {
  if (certificate === undefined) return {};
  const { cert, key } = certificate;
  return { tls: { cert, key } };
}

function listeningOptions({ settings, shared, log }: ServerOptions) {
  const { port, certificate } = settings;
  return { port, certificate, shared, log };
}

type Answer = Response | undefined;

/**
 * Lets requests that are too many for one turn of the event loop wait for the next. Bun closes a connection that sends a request
 * while the answer to its last one waits, so this ends clients that do not wait for answers, and delays the others by a turn.
 */
function inTurns<Reply>(
  route: (request: Request) => Reply | Promise<Reply>,
  share: TurnShare,
): (request: Request) => Reply | Promise<Reply> {
  return (request) =>
    share.take() ? route(request) : new Promise(setImmediate).then(() => route(request));
}

interface Doors {
  /** The paths of all routes, as Elysia writes them. */
  readonly paths: readonly string[];
  /** Of all requests. An answer is undefined when the request has become a socket, as Bun wants it. */
  readonly any: (request: Request) => Answer | Promise<Answer>;
  /** Of those of POST /publish. */
  readonly publish: (request: Request) => Response | Promise<Response>;
}

/** In front of all doors: no address may send more than its share. */
function limited(
  doors: Doors,
  { relay: { tally }, streams }: ServerOptions,
  addressLimits: AddressLimits,
): Doors {
  if (!addressLimits.areRequestsLimited) return doors;
  const check = (request: Request): Response | undefined => {
    const refusal = addressLimits.checkRequest(request);
    // To refuse orchestrators, because others flood the relay from the same address, would have it killed.
    if (refusal === undefined || isProbe(request.url)) return undefined;
    tally.refused(refusal);
    const { headers, url } = request;
    const later = isEventSource(url) ? streams.reconnectAnswer(request) : undefined;
    if (later === undefined) return refuse(refusal, originHeader(headers));
    for (const [name, value] of Object.entries(originHeader(headers)))
      later.headers.set(name, value);
    return later;
  };
  return {
    ...doors,
    any: (request) => check(request) ?? doors.any(request),
    publish: (request) => check(request) ?? doors.publish(request),
  };
}

/** What the doors lead to, besides what the server is given. */
interface RouterParts {
  readonly keepAlive: KeepAlive;
  readonly addressLimits: AddressLimits;
  readonly listening: () => string;
  readonly readBody: BodyReader;
}

/** The table above. */
function router(options: ServerOptions, parts: RouterParts): Doors {
  const { keepAlive } = parts;
  const { settings, socketFormats } = options;
  const { tally } = options.relay;
  const { bodyBytes } = settings;
  const origins = allowedOrigins(settings.origins, settings.publicUrl);
  const checkOrigin = originCheck(origins);
  const routeOptions = { ...routeOptionsOf(options, parts), listeningUrl: parts.listening };
  const { publish, sessionHandshake, handshake, pusher } = routeOptions;
  const backendApp = routes(routeOptions).compile();
  const pageApp = laterRoutes({ ...routeOptions, corsOrigins: origins });

  const any: Doors["any"] = (request) => {
    const { headers, method } = request;
    if (!hasBody(headers)) keepAlive.extend(request);
    const foreign = checkOrigin(headers);
    if (foreign !== undefined) return refuse(tally.refused(foreign));
    const refused = guard(request) ?? checkBody(request, bodyBytes);
    if (refused !== undefined) return refuse(tally.refused(refused), originHeader(headers));

    const { url } = request;
    const isFromPage = headers.has("origin");
    if (method === "POST" && !isFromPage) {
      if (isPublish(url)) return publish(request);
      if (pusher !== undefined && isPusherApi(url)) {
        return keepAlive.extendAfter(request, pusher.api(request));
      }
      return keepAlive.extendAfter(request, backendApp.fetch(request));
    }
    if (method !== "POST" && headers.has("upgrade")) {
      if (isSessionSocket(url)) return upgraded(sessionHandshake(request), tally);
      if (pusher !== undefined && isPusherSocket(url)) {
        return upgraded(pusher.openSocket(request), tally);
      }
      const { id, format } = socketPath(url);
      const protocol = Object.hasOwn(socketFormats, format) ? socketFormats[format] : undefined;
      if (id !== undefined && protocol !== undefined) {
        return afterHandshake(handshake(request, id, protocol), tally);
      }
    }
    const answer = isFromPage ? pageApp.fetch(request) : backendApp.fetch(request);
    return method === "POST" ? keepAlive.extendAfter(request, answer) : answer;
  };
  // A POST does not become a socket.
  const anyPost = any as Doors["publish"];
  return {
    paths: backendApp.routes.map(({ path }) => path),
    any,
    publish: (request) => (isPlain(request.headers, bodyBytes) ? publish : anyPost)(request),
  };
}

/** Whether all that is checked before routing is known to be right: no Origin, a valid Host, a body of a length that is allowed. */
function isPlain(headers: Headers, bodyBytes: number): boolean {
  if (headers.has("origin")) return false;
  const length = Number(headers.get("content-length"));
  return length > 0 && length <= bodyBytes && isHost(headers.get("host"));
}

function routeOptionsOf(
  options: ServerOptions,
  { keepAlive, addressLimits, readBody }: RouterParts,
): Omit<RouteOptions, "listeningUrl"> {
  const { settings, apiKeys, sockets, openRequests, isTls, ...handedOn } = options;
  const { relay, sessionProtocols, log } = handedOn;
  const { bodyBytes, frameBytes, pingMs, publicUrl } = settings;
  return {
    ...handedOn,
    handshake: sockets.handshake(relay, addressLimits),
    sessionHandshake: sockets.sessionHandshake(relay, addressLimits, {
      text: sessionProtocols.text.socket,
      binary: sessionProtocols.binary.socket,
    }),
    requireKey:
      (scope) =>
      ({ request, params }) =>
        orThrow(apiKeys.check(request.headers, scope, params?.topic)),
    grantsOf: ({ headers }) => orThrow(apiKeys.of(headers)),
    publish: publishAnswer({
      relay,
      log,
      grantsOf: apiKeys.of,
      bodyBytes,
      keepAlive,
      openRequests,
      readBody,
    }),
    pusher: pusherDoors({ ...options, addressLimits }),
    security: settings.apiKeys.length > 0 ? KEY : [],
    publicUrl,
    scheme: isTls ? "https" : "http",
    hasConsole: settings.hasConsole,
    bodyBytes,
    frameBytes,
    pingMs,
  };
}

/** Lets a page of an allowed origin read why its request was refused. */
function originHeader(headers: Headers): Record<string, string> {
  const origin = headers.get("origin");
  return origin === null ? {} : { "access-control-allow-origin": origin };
}

/** Refuses (`body_too_large`) a body that says that it is too long. Lines that are published are bounded one by one. */
function checkBody({ headers, url }: Request, bodyBytes: number): Refusal | undefined {
  const refusal = checkLength(headers.get("content-length"), bodyBytes);
  if (refusal === undefined) return undefined;
  const areLines = isPublish(url) && isLines(headers.get("content-type")) === true;
  return areLines ? undefined : refusal;
}

function afterHandshake(
  refusal: ReturnType<RouteOptions["handshake"]>,
  tally: Tally,
): Answer | Promise<Answer> {
  if (!(refusal instanceof Promise)) return upgraded(refusal, tally);
  return refusal.then(
    (settled) => upgraded(settled, tally),
    (error) => failed(error, tally),
  );
}

function upgraded(refusal: Refusal | undefined, tally: Tally): Answer {
  return refusal === undefined ? undefined : refuse(tally.refused(refusal));
}

function failed(error: unknown, tally: Tally): Response {
  if (error instanceof EngineUnavailable) return refuse(tally.refused(engineUnavailable()));
  throw error;
}
