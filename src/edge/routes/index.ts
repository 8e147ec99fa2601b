// The HTTP routes, put together: the rules that hold for all of them, and the health checks. Each route is described by
// its schemas, and each maps one to one to a call of the relay. A guard belongs to a route, never to a path prefix,
// which a crafted path could miss.
import { cors } from "@elysiajs/cors";
import { Elysia, type InternalRoute } from "elysia";
import { throttledLog } from "../../log";
import { EngineUnavailable } from "../../relay/contracts/engine";
import { engineUnavailable, Refusal } from "../../relay/contracts/errors";
import type { Relay } from "../../relay/relay";
import { pathOf } from "../access/address";
import { centrifugoApi } from "../centrifugo-api/routes";
import { errorAnswers } from "../http/documents";
import { LIVE_PATH, ok, unavailable } from "../http/health";
import { internal, refusalOf, refuse } from "../http/refusal";
import { explainRoute } from "../operator/explain";
import { listRoutes } from "../operator/lists";
import { receiversRoute } from "../operator/receivers";
import { sourceHealthRoute } from "../operator/source-health";
import { clientScriptRoute } from "../pages/client-script";
import { consoleRoutes } from "../pages/console";
import { deviceRoutes } from "../push/routes";
import { pusherRoutes } from "../pusher/routes";
import { centrifugeRoutes } from "./centrifuge";
import { connectRoutes } from "./connect";
import { openapiPage } from "./openapi";
import type { RouteOptions } from "./options";
import { publishRoute } from "./publish";
import { registerRoutes } from "./register";
import { Metrics, Ok } from "./schemas";
import { topicRoutes } from "./topics";
import { userRoutes } from "./users";

/** All routes, as an Elysia app that listens nowhere; `app.fetch` answers a request. */
export function routes(options: RouteOptions) {
  const { relay, log, corsOrigins } = options;
  const { tally } = relay;
  const known: Route[] = [];
  const logUnavailable = throttledLog(log, "the engine did not serve a request");

  const app = new Elysia({ normalize: false })
    .onError(({ error, code, request }) => {
      const refusal = refusalOf(error);
      if (refusal !== undefined) return refuse(tally.refused(refusal));
      if (code === "NOT_FOUND") return notFound(request, known, relay);
      if (error instanceof EngineUnavailable) {
        logUnavailable(error);
        return refuse(tally.refused(engineUnavailable()));
      }
      log.error({ err: error, code }, "a request failed");
      return refuse(tally.refused(internal()));
    })
    .use(corsOrigins === undefined ? optionsRoutes(relay, known) : corsHeaders(corsOrigins))
    .use(openapiPage(options.prefix))
    .use(clientScriptRoute())
    .use(healthRoutes(options))
    .use(metricsRoute(options))
    .use(registerRoutes(options))
    .use(publishRoute(options))
    .use(topicRoutes(options))
    .use(connectRoutes(options))
    .use(centrifugeRoutes(options))
    .use(userRoutes(options))
    .use(deviceRoutes(options))
    .use(listRoutes(options))
    .use(explainRoute(options))
    .use(receiversRoute(options))
    .use(sourceHealthRoute(options))
    .use(centrifugoApi(options));
  if (options.pusher !== undefined) app.use(pusherRoutes(options.pusher));
  if (options.hasConsole) app.use(consoleRoutes());
  known.push(...app.routes);
  return app;
}

/** The same, made for the first request: a relay that no page calls saves their memory, and a twentieth of the CPU of its start. */
export function laterRoutes(options: RouteOptions): Pick<ReturnType<typeof routes>, "fetch"> {
  let app: ReturnType<typeof routes> | undefined;
  return {
    fetch(request) {
      app ??= routes(options).compile();
      return app.fetch(request);
    },
  };
}

function healthRoutes({ relay }: RouteOptions) {
  const readiness = async (): Promise<Response> => {
    const refusal = await unavailable(relay);
    return refusal === undefined ? ok() : refuse(relay.tally.refused(refusal));
  };
  const ready = {
    response: { 200: Ok, ...errorAnswers("shutting_down", "starting", "engine_unavailable") },
    detail: {
      tags: ["relay"],
      summary: "Check whether the relay can serve",
      description:
        "Answers 503 from the beginning of a shutdown, while the engine cannot be reached, and until all workers serve. GET /health and GET /health/ready are the same.",
    },
  };
  return (app: Elysia) =>
    app
      .get("/health", readiness, ready)
      .get("/health/ready", readiness, ready)
      .get(LIVE_PATH, ok, {
        response: { 200: Ok },
        detail: {
          tags: ["relay"],
          summary: "Check whether the process is alive",
          description:
            "Answers 200 for as long as the process runs, also while it starts, shuts down or cannot reach its engine.",
        },
      });
}

function metricsRoute({ metrics, requireKey, security }: RouteOptions) {
  return (app: Elysia) =>
    app.get("/metrics", () => metrics(), {
      beforeHandle: requireKey("metrics"),
      response: {
        200: Metrics,
        ...errorAnswers("bad_request", "unauthorized", "missing_scope", "engine_unavailable"),
      },
      detail: {
        tags: ["relay"],
        summary: "Get the metrics",
        description:
          "Counts of this relay in the Prometheus text format: with workers, of all of them together. docs/metrics.md lists the series.",
        security,
      },
    });
}

/** Lets pages of other origins call the API, without their users' cookies. */
function corsHeaders(origins: readonly string[]) {
  return cors({
    origin: origins.includes("*") ? "*" : [...origins],
    methods: ["GET", "POST", "DELETE"],
    // Tracing tools and libraries add headers of their own to the requests of a page, which * stands for. It does not cover
    // Authorization (Fetch standard, section 4.8), and older browsers read it as a name.
    allowedHeaders: [
      "Content-Type",
      "X-API-Key",
      "Authorization",
      "Idempotency-Key",
      "Last-Event-ID",
      "*",
    ],
    exposeHeaders: ["Retry-After"],
    credentials: false,
    maxAge: 600,
  });
}

/**
 * OPTIONS without an Origin is not a preflight. Load balancers send it to learn whether the relay can serve, as HAProxy's
 * bare `option httpchk` does, so it answers like GET /health; at the path of liveness like GET there.
 */
function optionsRoutes(relay: Relay, known: readonly Route[]) {
  const answer = async ({ request }: { request: Request }): Promise<Response> => {
    const pathname = pathOf(request.url);
    const refusal = pathname === LIVE_PATH ? undefined : await unavailable(relay);
    if (refusal !== undefined) return refuse(relay.tally.refused(refusal));
    const methods = methodsAt(pathname, known);
    const headers = methods.length === 0 ? {} : { allow: [...methods, "OPTIONS"].join(", ") };
    return new Response(null, { status: 204, headers });
  };
  const hidden = { detail: { hide: true } };
  return new Elysia().options("/", answer, hidden).options("/*", answer, hidden);
}

type Route = Pick<InternalRoute, "method" | "path">;

/**
 * 405 with the methods that the path has, or 404 when there is no such path. At "/", where some load balancers ask for the
 * health of a server, it is 503 while the relay cannot serve.
 */
function notFound(request: Request, known: readonly Route[], relay: Relay): Response {
  const pathname = pathOf(request.url);
  const methods = methodsAt(pathname, known);
  if (methods.length === 0) {
    const unavailable = pathname === "/" ? relay.unavailable() : undefined;
    return refuse(
      relay.tally.refused(
        unavailable ??
          new Refusal("not_found", "There is no such route; GET /openapi lists all routes."),
      ),
    );
  }
  const allow = methods.join(", ");
  const refusal = new Refusal("method_not_allowed", `This route accepts only ${allow}.`);
  return refuse(relay.tally.refused(refusal), { allow });
}

/** The methods of the routes with this path, apart from OPTIONS. */
function methodsAt(pathname: string, known: readonly Route[]): string[] {
  const methods = known
    .filter(({ path }) => matches(path, pathname))
    .map(({ method }) => method)
    .filter((method) => method !== "OPTIONS");
  return [...new Set(methods)];
}

function matches(path: string, pathname: string): boolean {
  if (path.includes("*")) return false;
  const want = path.split("/");
  const have = pathname.replace(/\/$/, "").split("/");
  return (
    want.length === have.length &&
    want.every((part, i) => (part[0] === ":" ? have[i] !== "" : part === have[i]))
  );
}
