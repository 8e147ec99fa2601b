// The routes of registrations: POST /register and DELETE /register/:id.
import type { Elysia } from "elysia";
import type { Log } from "../../log";
import { bodyReader } from "../http/body";
import { BODY_ERRORS, bodyDocument, errorAnswers } from "../http/documents";
import { orThrow, TEXT } from "../http/refusal";
import type { RouteOptions } from "./options";
import { ConnectionId, NotRemoved, RegisterAnswer, RegisterBody, Removed } from "./schemas";

export function registerRoutes(options: RouteOptions) {
  return (app: Elysia) => app.use(registerRoute(options)).use(unregisterRoute(options));
}

function registerRoute(options: RouteOptions) {
  const { relay, requireKey, security, bodyBytes, publicUrl, scheme, log } = options;
  const warnOfTls = publicUrl === "" && scheme === "http" ? tlsWarning(log) : () => {};
  const readRegister = bodyReader(RegisterBody, '{"user_id":1}', bodyBytes);
  return (app: Elysia) =>
    app.post(
      "/register",
      async ({ request }) => {
        const { user_id, topics } = await readRegister(request);
        const { id } = orThrow(await relay.admission.register(user_id, topics));
        warnOfTls(request.headers);
        return addressesOf(id, options, request);
      },
      {
        parse: "none",
        beforeHandle: requireKey("register"),
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
        beforeHandle: requireKey("register"),
        params: ConnectionId,
        response: {
          200: Removed,
          404: NotRemoved,
          ...errorAnswers("bad_request", "unauthorized", "missing_scope", "engine_unavailable"),
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

/** Where the client of a registration connects: at an address made of the request's Host, where no other one is set. */
export function addressesOf(
  id: string,
  { publicUrl, scheme, listeningUrl, prefix }: AddressOptions,
  request?: Request,
): { url: string; sse: string } {
  const ownUrl = () => ((request && hostUrl(request, scheme)) || listeningUrl()) + prefix;
  const base = publicUrl || ownUrl();
  return { url: `ws${base.slice(4)}/ws/${id}`, sse: `${base}/sse/${id}` };
}

type AddressOptions = Pick<RouteOptions, "publicUrl" | "scheme" | "listeningUrl" | "prefix">;

/** The address that the client has used, or undefined where it did not say (HTTP/1.0, or an empty Host). */
function hostUrl({ headers }: Request, scheme: RouteOptions["scheme"]): string | undefined {
  const host = headers.get("host") || undefined;
  return host && `${scheme}://${host}`;
}

/** The first of the proxies on the way writes first, and these are the names that proxies use. */
const HTTPS_AT_PROXY: Readonly<Record<string, RegExp>> = {
  "x-forwarded-proto": /^(?:https|wss)\b/i,
  "x-forwarded-protocol": /^https\b/i,
  "x-forwarded-scheme": /^https\b/i,
  "x-forwarded-ssl": /^on$/i,
  // RFC 7239, section 4: elements with pairs like proto=https, whose value may be quoted.
  forwarded: /^[^,]*\bproto="?https\b/i,
};

/**
 * Warns once when TLS ends at a proxy, since the addresses then begin with ws:// and http://, which a page under https
 * may not open. The headers themselves are never believed: whoever reaches the relay directly can send any of them.
 */
function tlsWarning(log: Log): (headers: Headers) => void {
  let hasWarned = false;
  return (headers) => {
    if (hasWarned) return;
    const isHttps = ([name, value]: [string, RegExp]) => value.test(headers.get(name) ?? "");
    if (!Object.entries(HTTPS_AT_PROXY).some(isHttps)) return;
    hasWarned = true;
    log.warn(
      "a proxy says that clients use https, but BATON_PUBLIC_URL is not set, so POST /register answers with ws:// and http:// addresses, which browsers do not open from an https page; set BATON_PUBLIC_URL to the address that clients use",
    );
  };
}
