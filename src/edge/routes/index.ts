// The HTTP routes, put together: the rules that hold for all of them, and the health check. Each route is described by
// its schemas, and each maps one to one to a call of the relay. A guard belongs to a route, never to a path prefix,
// which a crafted path could miss.
import { cors } from "@elysiajs/cors";
import { Elysia, type InternalRoute } from "elysia";
import { throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { engineUnavailable, Refusal } from "../../relay/contracts/errors";
import { centrifugoApi } from "../centrifugo-api/routes";
import { errorAnswers } from "../http/documents";
import { Refused, refuse, refuseInternal, TEXT } from "../http/refusal";
import { centrifugeRoutes } from "./centrifuge";
import { connectRoutes } from "./connect";
import { openapiPage } from "./openapi";
import type { RouteOptions } from "./options";
import { publishRoute } from "./publish";
import { registerRoutes } from "./register";
import { Ok } from "./schemas";
import { topicRoutes } from "./topics";
import { userRoutes } from "./users";

/** All routes, as an Elysia app that listens nowhere; `app.fetch` answers a request. */
export function routes(options: RouteOptions) {
  const { log, corsOrigins } = options;
  const known: Route[] = [];
  const logUnavailable = throttledLog(log, "the engine did not serve a request");

  const app = new Elysia({ normalize: false })
    .onError(({ error, code, request }) => {
      if (error instanceof Refused) return refuse(error.refusal);
      if (code === "NOT_FOUND") return notFound(request, known);
      if (error instanceof EngineUnavailable) {
        logUnavailable(error);
        return refuse(engineUnavailable());
      }
      log.error({ err: error, code }, "a request failed");
      return refuseInternal();
    })
    .use(corsOrigins === undefined ? new Elysia() : corsHeaders(corsOrigins))
    .use(openapiPage())
    .use(healthRoute(options))
    .use(registerRoutes(options))
    .use(publishRoute(options))
    .use(topicRoutes(options))
    .use(connectRoutes(options))
    .use(centrifugeRoutes(options))
    .use(userRoutes(options))
    .use(centrifugoApi(options));
  known.push(...app.routes);
  return app;
}

function healthRoute({ relay }: RouteOptions) {
  return (app: Elysia) =>
    app.get(
      "/health",
      () => {
        const refusal = relay.unavailable();
        return refusal === undefined ? new Response("ok", TEXT) : refuse(refusal);
      },
      {
        response: { 200: Ok, ...errorAnswers("shutting_down", "engine_unavailable") },
        detail: {
          tags: ["relay"],
          summary: "Check whether the relay can serve",
          description: "Answers 503 while the relay shuts down or cannot reach its engine.",
        },
      },
    );
}

/** Lets pages of other origins call the API, without their users' cookies. */
function corsHeaders(origins: readonly string[]) {
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
    // Named, because the default reflects every header of the request.
    exposeHeaders: ["Retry-After"],
    credentials: false,
    maxAge: 600,
  });
}

type Route = Pick<InternalRoute, "method" | "path">;

/** 405 with the methods that the path has, or 404 when there is no such path. */
function notFound(request: Request, known: readonly Route[]): Response {
  const { pathname } = new URL(request.url);
  const methods = known
    .filter(({ path }) => matches(path, pathname))
    .map(({ method }) => method)
    .filter((method) => method !== "OPTIONS");
  if (methods.length === 0) {
    return refuse(
      new Refusal("not_found", "There is no such route; GET /openapi lists all routes."),
    );
  }
  const allow = [...new Set(methods)].join(", ");
  const refusal = new Refusal("method_not_allowed", `This route accepts only ${allow}.`);
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
