// The routes of registrations: POST /register and DELETE /register/:id.
import type { Elysia } from "elysia";
import { bodyReader } from "../http/body";
import { BODY_ERRORS, bodyDocument, errorAnswers } from "../http/documents";
import { orThrow, TEXT } from "../http/refusal";
import type { RouteOptions } from "./options";
import { ConnectionId, NotRemoved, RegisterAnswer, RegisterBody, Removed } from "./schemas";

export function registerRoutes(options: RouteOptions) {
  return (app: Elysia) => app.use(registerRoute(options)).use(unregisterRoute(options));
}

function registerRoute({ relay, requireKey, security, bodyBytes, publicUrl }: RouteOptions) {
  const readRegister = bodyReader(RegisterBody, '{"user_id":1}', bodyBytes);
  return (app: Elysia) =>
    app.post(
      "/register",
      async ({ request }) => {
        const { user_id, topics } = await readRegister(request);
        const { id } = orThrow(await relay.admission.register(user_id, topics));
        const base = baseUrl(publicUrl, request);
        return { url: `ws${base.slice(4)}/ws/${id}`, sse: `${base}/sse/${id}` };
      },
      {
        parse: "none",
        beforeHandle: requireKey,
        response: {
          200: RegisterAnswer,
          ...errorAnswers(
            ...BODY_ERRORS,
            "invalid_body",
            "invalid_user",
            "invalid_topic",
            "too_many_topics",
            "too_many_registrations",
            "too_many_user_connections",
            "shutting_down",
            "engine_unavailable",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "Register a client for a user",
          requestBody: bodyDocument(RegisterBody),
          description:
            "A user may have many clients. The registration ends when its connection closes, when it is deleted, or when no client has connected within BATON_REGISTRATION_TTL_MS. If a client that can resume (a stream, or a socket with format=json) merely loses its connection, its registration stays valid for that time again.",
          security,
        },
      },
    );
}

function unregisterRoute({ relay, requireKey, security }: RouteOptions) {
  return (app: Elysia) =>
    app.delete(
      "/register/:id",
      async ({ params: { id } }) =>
        (await relay.admission.unregister(id))
          ? new Response(`Client removed with id ${id}`, TEXT)
          : new Response(`Client not found with id ${id}`, { ...TEXT, status: 404 }),
      {
        beforeHandle: requireKey,
        params: ConnectionId,
        response: {
          200: Removed,
          404: NotRemoved,
          ...errorAnswers("bad_request", "unauthorized", "engine_unavailable"),
        },
        detail: {
          tags: ["relay"],
          summary: "Unregister a client",
          description:
            "If the client is connected, its socket is closed with code 4503, or its stream ends.",
          security,
        },
      },
    );
}

/** `http://host` or `https://host/path`, without a trailing slash. */
function baseUrl(publicUrl: string, request: Request): string {
  if (publicUrl !== "") return publicUrl;
  return `http://${request.headers.get("host") ?? new URL(request.url).host}`;
}
