// The HTTP routes, put together: what holds for all of them, and the health. Each is described by its schemas, and
// each maps one to one onto a call of the relay. Guards stand on routes, never on path prefixes, which a crafted path
// could miss.
import { cors } from "@elysiajs/cors";
import { Elysia, type InternalRoute } from "elysia";
import { type Log, throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { engineUnavailable, Refusal } from "../../relay/contracts/errors";
import type { Relay } from "../../relay/relay";
import type { KeyCheck } from "../access/keys";
import type { ApiFormat } from "../centrifugo-api/methods";
import { api } from "../centrifugo-api/routes";
import { Refused, refuse, refuseInternal, TEXT } from "../http/refusal";
import type { Formats, Handshake, SessionHandshake } from "../transports/sockets";
import type { Streams } from "../transports/streams";
import { type SessionProtocols, sessions } from "./centrifuge";
import { connecting } from "./connect";
import { documentation } from "./openapi";
import { type PublishAnswer, publishing } from "./publish";
import { registering } from "./register";
import { errorAnswers, Ok } from "./schemas";
import { users } from "./users";

export interface RouteOptions {
  readonly relay: Relay;
  readonly log: Log;
  readonly handshake: Handshake;
  readonly sessionHandshake: SessionHandshake;
  readonly sessionProtocols: SessionProtocols;
  readonly node: string;
  readonly apiFormat: ApiFormat;
  readonly socketFormats: Formats;
  readonly streams: Streams;
  readonly streamFormats: Formats;
  readonly checkKey: KeyCheck;
  readonly publish: PublishAnswer;
  /** The security entry of guarded routes in the OpenAPI page. */
  readonly security: Record<string, string[]>[];
  readonly origins: readonly string[];
  /** Whether answers carry CORS headers. */
  readonly crossOrigin: boolean;
  readonly bodyBytes: number;
  readonly frameBytes: number;
  /** Without a trailing slash; empty: the request's Host. */
  readonly publicUrl: string;
}

/** All routes as an Elysia app that listens nowhere; `app.fetch` answers a request. */
export function routes(options: RouteOptions) {
  const { relay, log } = options;
  const known: Route[] = [];
  const complain = throttledLog(log, "the engine did not serve a request");

  const app = new Elysia({ normalize: false })
    .onError(({ error, code, request }) => {
      if (error instanceof Refused) return refuse(error.refusal);
      if (code === "NOT_FOUND") return notFound(request, known);
      if (error instanceof EngineUnavailable) {
        complain(error);
        return refuse(engineUnavailable());
      }
      log.error({ err: error, code }, "a request failed");
      return refuseInternal();
    })
    .use(options.crossOrigin ? crossOrigin(options.origins) : new Elysia())
    .use(documentation())

    .get(
      "/health",
      () => {
        const refusal = relay.unavailable();
        return refusal === undefined ? new Response("ok", TEXT) : refuse(refusal);
      },
      {
        response: { 200: Ok, ...errorAnswers("shutting_down", "engine_unavailable") },
        detail: {
          tags: ["relay"],
          summary: "Whether the relay can serve",
          description: "503 while it shuts down or cannot reach its engine.",
        },
      },
    )
    .use(registering(options))
    .use(publishing(options))
    .use(connecting(options))
    .use(sessions(options))
    .use(users(options))
    .use(api(options));
  known.push(...app.routes);
  return app;
}

/** What a page of another origin may do: call the API, without its user's cookies. */
function crossOrigin(origins: readonly string[]) {
  return cors({
    origin: origins.includes("*") ? "*" : [...origins],
    methods: ["GET", "POST", "DELETE"],
    allowedHeaders: [
      "Content-Type",
      "X-API-Key",
      "Authorization",
      "Idempotency-Key",
      "Last-Event-ID",
    ],
    // Named, because the default reflects whatever the request had.
    exposeHeaders: ["Retry-After"],
    credentials: false,
    maxAge: 600,
  });
}

type Route = Pick<InternalRoute, "method" | "path">;

/** 405 with the methods that the path has, or 404 when it has none. */
function notFound(request: Request, known: readonly Route[]): Response {
  const { pathname } = new URL(request.url);
  const methods = known
    .filter(({ path }) => matches(path, pathname))
    .map(({ method }) => method)
    .filter((method) => method !== "OPTIONS");
  if (methods.length === 0) {
    return refuse(
      new Refusal("not_found", "There is no such route; GET /openapi shows those that there are."),
    );
  }
  const allow = [...new Set(methods)].join(", ");
  const refusal = new Refusal("method_not_allowed", `This route takes ${allow}.`);
  return refuse(refusal, { allow });
}

function matches(path: string, pathname: string): boolean {
  if (path.includes("*")) return false;
  const want = path.split("/");
  const have = pathname.replace(/\/$/, "").split("/");
  return (
    want.length === have.length && want.every((part, i) => part[0] === ":" || part === have[i])
  );
}
