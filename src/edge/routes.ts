// The HTTP routes. Each is described by its schemas, and each maps one to one onto a call of the relay.
// Guards stand on routes, never on path prefixes, which a crafted path could miss.
import { cors } from "@elysiajs/cors";
import { Elysia, type InternalRoute } from "elysia";
import { EngineUnavailable } from "../relay/engine";
import { engineUnavailable, Refusal } from "../relay/errors";
import type { Protocol } from "../relay/protocol";
import type { Relay } from "../relay/relay";
import { bodyDocument, bodyReader } from "./body";
import { documentation, KEY, SOCKET_TEXT } from "./documentation";
import { keyCheck } from "./keys";
import type { Log } from "./log";
import { granted, Refused, refuse, refuseInternal } from "./refusal";
import {
  BODY_ERRORS,
  ConnectionId,
  errorAnswers,
  NotRemoved,
  Ok,
  PublishAnswer,
  PublishBody,
  RegisterAnswer,
  RegisterBody,
  Removed,
  Switching,
} from "./schemas";
import type { Handshake } from "./sockets";

export interface RouteOptions {
  readonly relay: Relay;
  readonly log: Log;
  readonly plain: Protocol;
  readonly handshake: Handshake;
  readonly apiKeys: readonly string[];
  readonly origins: readonly string[];
  /** Whether answers carry CORS headers. */
  readonly crossOrigin: boolean;
  readonly bodyBytes: number;
  /** Without a trailing slash; empty: the request's Host. */
  readonly publicUrl: string;
}

const TEXT = {
  headers: { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" },
};

/** All routes as an Elysia app that listens nowhere; `app.fetch` answers a request. */
export function routes(options: RouteOptions) {
  const { relay, log, plain, handshake, bodyBytes } = options;
  const checkKey = keyCheck(options.apiKeys);
  const security = options.apiKeys.length > 0 ? KEY : [];
  const readRegister = bodyReader(RegisterBody, '{"user_id":1}', bodyBytes);
  const readPublish = bodyReader(PublishBody, '{"topic":"tech","message":"hi"}', bodyBytes);
  const known: Route[] = [];

  const app = new Elysia({ normalize: false })
    .onError(({ error, code, request }) => {
      if (error instanceof Refused) return refuse(error.refusal);
      if (code === "NOT_FOUND") return notFound(request, known);
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

    .post(
      "/register",
      async ({ request }) => {
        const { user_id } = await readRegister(request);
        const { id } = granted(relay.register(user_id));
        return { url: `${socketBase(options.publicUrl, request)}/ws/${id}` };
      },
      {
        parse: "none",
        beforeHandle: checkKey,
        response: {
          200: RegisterAnswer,
          ...errorAnswers(
            ...BODY_ERRORS,
            "invalid_user",
            "too_many_registrations",
            "too_many_user_connections",
            "shutting_down",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "Register a client for a user",
          requestBody: bodyDocument(RegisterBody),
          description:
            "A user may have many clients. The registration ends when its socket closes, when it is deleted, or when nobody has connected within BATON_REGISTRATION_TTL_MS.",
          security,
        },
      },
    )

    .delete(
      "/register/:id",
      ({ params: { id } }) =>
        relay.unregister(id)
          ? new Response(`Client removed with id ${id}`, TEXT)
          : new Response(`Client not found with id ${id}`, { ...TEXT, status: 404 }),
      {
        beforeHandle: checkKey,
        params: ConnectionId,
        response: {
          200: Removed,
          404: NotRemoved,
          ...errorAnswers("bad_request", "unauthorized"),
        },
        detail: {
          tags: ["relay"],
          summary: "Unregister a client",
          description: "Its socket, if it is connected, is closed with code 4503.",
          security,
        },
      },
    )

    .post(
      "/publish",
      async ({ request }) => {
        const publication = await readPublish(request);
        try {
          return granted(await relay.publish(publication));
        } catch (error) {
          if (!(error instanceof EngineUnavailable)) throw error;
          log.error({ err: error }, "the engine did not take a publication");
          throw new Refused(engineUnavailable());
        }
      },
      {
        parse: "none",
        beforeHandle: checkKey,
        response: {
          200: PublishAnswer,
          ...errorAnswers(
            ...BODY_ERRORS,
            "message_too_large",
            "invalid_topic",
            "invalid_user",
            "invalid_message",
            "shutting_down",
            "engine_unavailable",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "Publish to a topic, or to one user",
          requestBody: bodyDocument(PublishBody),
          description:
            "Every connection subscribed to the topic gets the message as one text frame, byte for byte; with user_id only that user's connections among them.",
          security,
        },
      },
    )

    .get(
      "/ws/:id",
      ({ params: { id }, request }) => {
        granted(handshake(request, id, plain));
      },
      {
        params: ConnectionId,
        detail: {
          tags: ["relay"],
          summary: "Connect with a WebSocket",
          description: SOCKET_TEXT,
        },
        response: {
          101: Switching,
          ...errorAnswers(
            "bad_request",
            "forbidden_origin",
            "unknown_connection",
            "upgrade_required",
            "too_many_user_connections",
            "too_many_connections",
            "shutting_down",
          ),
        },
      },
    );
  known.push(...app.routes);
  return app;
}

/** What a page of another origin may do: call the API, without its user's cookies. */
function crossOrigin(origins: readonly string[]) {
  return cors({
    origin: origins.includes("*") ? "*" : [...origins],
    methods: ["GET", "POST", "DELETE"],
    allowedHeaders: ["Content-Type", "X-API-Key", "Authorization"],
    // Named, because the default reflects whatever the request had.
    exposeHeaders: ["Retry-After"],
    credentials: false,
    maxAge: 600,
  });
}

type Route = Pick<InternalRoute, "method" | "path">;

/** `ws://host` or `wss://host/path`, without a trailing slash. */
function socketBase(publicUrl: string, request: Request): string {
  if (publicUrl !== "") return publicUrl.replace(/^http/, "ws");
  return `ws://${request.headers.get("host") ?? new URL(request.url).host}`;
}

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
