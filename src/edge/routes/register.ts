// The routes of registrations: POST /register and DELETE /register/:id.
import type { Elysia } from "elysia";
import { bodyDocument, bodyReader } from "../http/body";
import { granted, TEXT } from "../http/refusal";
import type { RouteOptions } from ".";
import {
  BODY_ERRORS,
  ConnectionId,
  errorAnswers,
  NotRemoved,
  RegisterAnswer,
  RegisterBody,
  Removed,
} from "./schemas";

export function registering({ relay, checkKey, security, bodyBytes, publicUrl }: RouteOptions) {
  const readRegister = bodyReader(RegisterBody, '{"user_id":1}', bodyBytes);
  return (app: Elysia) =>
    app
      .post(
        "/register",
        async ({ request }) => {
          const { user_id, topics } = await readRegister(request);
          const { id } = granted(await relay.admission.register(user_id, topics));
          const base = baseUrl(publicUrl, request);
          return { url: `ws${base.slice(4)}/ws/${id}`, sse: `${base}/sse/${id}` };
        },
        {
          parse: "none",
          beforeHandle: checkKey,
          response: {
            200: RegisterAnswer,
            ...errorAnswers(
              ...BODY_ERRORS,
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
              "A user may have many clients. The registration ends when its socket closes, when it is deleted, or when nobody has connected within BATON_REGISTRATION_TTL_MS. A client that can resume (a stream, or a socket with format=json) and only lost its connection finds its registration for as long again.",
            security,
          },
        },
      )

      .delete(
        "/register/:id",
        async ({ params: { id } }) =>
          (await relay.admission.unregister(id))
            ? new Response(`Client removed with id ${id}`, TEXT)
            : new Response(`Client not found with id ${id}`, { ...TEXT, status: 404 }),
        {
          beforeHandle: checkKey,
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
              "Its socket, if it is connected, is closed with code 4503; its stream ends.",
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
