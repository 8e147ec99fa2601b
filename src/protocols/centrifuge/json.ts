// The Centrifuge client protocol, version 2, in JSON: one wire for sockets, and the same lines over two kinds of streams.
// docs/centrifuge-protocol.md says what is spoken; the comments here name its sections.

import type { Push, Reply, Subscribed } from "../../relay/contracts/commands";
import type { CloseName, ErrorCode, Refusal } from "../../relay/contracts/errors";
import type { SessionProtocol } from "../../relay/contracts/protocol";
import type { ClientInfo, Publication } from "../../relay/contracts/publication";
import type { TransportName } from "../../relay/contracts/transport";
import { decodeCommands } from "./json-commands";

/**
 * SDKs reconnect after 3000 to 3499, and not after 3500 to 3999 ("Disconnects"). No reason is empty, because the
 * JavaScript SDK would ignore the code then.
 */
const CLOSES: Readonly<Record<CloseName, { code: number; reason: string }>> = {
  shutdown: { code: 3001, reason: "shutdown" },
  internal: { code: 3004, reason: "internal server error" },
  expired: { code: 3005, reason: "connection expired" },
  subscription_expired: { code: 3006, reason: "subscription expired" },
  slow_consumer: { code: 3008, reason: "slow" },
  position_lost: { code: 3010, reason: "insufficient state" },
  replaced: { code: 3011, reason: "force reconnect" },
  no_pong: { code: 3012, reason: "no pong" },
  too_many_frames: { code: 3013, reason: "too many requests" },
  invalid_token: { code: 3500, reason: "invalid token" },
  violation: { code: 3501, reason: "bad request" },
  stale: { code: 3502, reason: "stale" },
  deleted: { code: 3503, reason: "force disconnect" },
  too_many_connections: { code: 3504, reason: "connection limit" },
  too_many_topics: { code: 3505, reason: "channel limit" },
  wrong_format: { code: 3506, reason: "inappropriate protocol" },
  not_available: { code: 3508, reason: "not available" },
};

/** The errors of the protocol, by our own codes. An SDK tries again after 109 and after those that are temporary. */
const ERRORS: Partial<Record<ErrorCode, { code: number; message: string; temporary?: true }>> = {
  unauthorized: { code: 101, message: "unauthorized" },
  unknown_topic: { code: 102, message: "unknown channel" },
  permission_denied: { code: 103, message: "permission denied" },
  already_subscribed: { code: 105, message: "already subscribed" },
  too_many_topics: { code: 106, message: "limit exceeded" },
  invalid_topic: { code: 107, message: "bad request" },
  invalid_body: { code: 107, message: "bad request" },
  invalid_idempotency_key: { code: 107, message: "bad request" },
  idempotency_conflict: { code: 107, message: "bad request" },
  invalid_message: { code: 107, message: "bad request" },
  message_too_large: { code: 106, message: "limit exceeded" },
  not_available: { code: 108, message: "not available" },
  not_found: { code: 104, message: "method not found" },
  no_history: { code: 108, message: "not available" },
  token_expired: { code: 109, message: "token expired" },
  unrecoverable_position: { code: 112, message: "unrecoverable position" },
  too_many_user_connections: { code: 106, message: "limit exceeded" },
  too_many_publications: { code: 111, message: "too many requests", temporary: true },
};
const INTERNAL = { code: 100, message: "internal server error", temporary: true } as const;

/** On a WebSocket: each reply and push is a frame. */
export const centrifuge: SessionProtocol = over("centrifuge", "socket", (line) => line);

/** Over a response that does not end, each is a line ("Streams and emulation"). */
export const centrifugeStream: SessionProtocol = over(
  "centrifuge-stream",
  "stream",
  (line) => `${line}\n`,
);

/** Over Server-Sent Events, each is an event ("Streams and emulation"). */
export const centrifugeSse: SessionProtocol = over(
  "centrifuge-sse",
  "stream",
  (line) => `data: ${line}\n\n`,
);

function over(
  name: string,
  transport: TransportName,
  framed: (line: string) => string,
): SessionProtocol {
  return {
    kind: "session",
    canResume: true,
    name,
    transport,
    closes: CLOSES,
    ping: framed("{}"),
    decode: decodeCommands,
    encodePublication: (publication) =>
      framed(pushOf(publication.topic, "pub", publicationJson(publication))),
    encodeReply: (reply) => framed(replyLine(reply)),
    encodePush: (push) => framed(pushLine(push)),
    // A socket has a close frame for it.
    encodeDisconnect: (code, reason) =>
      transport === "socket"
        ? undefined
        : framed(`{"push":{"disconnect":${JSON.stringify({ code, reason })}}}`),
  };
}

function replyLine(reply: Reply): string {
  const { id } = reply;
  switch (reply.kind) {
    case "connected": {
      const { client, version, ttl, topics, pingMs, session, node } = reply;
      const subs = topics.map((topic) => `${JSON.stringify(topic.topic)}:${subscribed(topic)}`);
      const head = { client, version, ...expiry(ttl), ping: Math.ceil(pingMs / 1000), pong: true };
      const rest = { ...head, session, node };
      const body = JSON.stringify(rest).slice(0, -1);
      return `{"id":${id},"connect":${body}${subs.length === 0 ? "" : `,"subs":{${subs.join(",")}}`}}}`;
    }
    case "subscribed":
      return `{"id":${id},"subscribe":${subscribed(reply.subscribed)}}`;
    case "done":
      return `{"id":${id},"${reply.of}":{}}`;
    case "presence": {
      const clients = reply.clients.map(
        (info) => `${JSON.stringify(info.client)}:${infoJson(info)}`,
      );
      return `{"id":${id},"presence":{"presence":{${clients.join(",")}}}}`;
    }
    case "presenceCounts":
      return `{"id":${id},"presence_stats":{"num_clients":${reply.clients},"num_users":${reply.users}}}`;
    case "history": {
      const { top, publications } = reply.page;
      const list = publications.map(publicationJson).join(",");
      return `{"id":${id},"history":{"publications":[${list}],"epoch":"${top?.epoch ?? ""}","offset":${top?.offset ?? 0}}}`;
    }
    case "refreshed":
      return `{"id":${id},"refresh":${JSON.stringify({ client: reply.client, ...expiry(reply.ttl) })}}`;
    case "refreshedTopic":
      return `{"id":${id},"sub_refresh":${JSON.stringify(expiry(reply.ttl))}}`;
    case "refused":
      return `{"id":${id},"error":${JSON.stringify(errorOf(reply.refusal))}}`;
  }
}

function pushLine(push: Push): string {
  switch (push.kind) {
    case "join":
    case "leave":
      return pushOf(push.topic, push.kind, `{"info":${infoJson(push.info)}}`);
    case "subscribed":
      return pushOf(push.subscribed.topic, "subscribe", subscribed(push.subscribed));
    case "unsubscribed":
      return pushOf(
        push.topic,
        "unsubscribe",
        JSON.stringify({ code: push.code, reason: push.reason }),
      );
  }
}

function pushOf(topic: string, name: string, body: string): string {
  return `{"push":{"channel":${JSON.stringify(topic)},"${name}":${body}}}`;
}

/** The error of the protocol for a refusal; the server API answers with it too. */
export function errorOf({ code }: Refusal): { code: number; message: string; temporary?: true } {
  return ERRORS[code] ?? INTERNAL;
}

/** A subscribe result ("Subscribing"). The client continues from `offset`: what it missed comes after it. */
function subscribed({ top, at, recovered, missed, ttl, data }: Subscribed): string {
  const body: Record<string, unknown> = expiry(ttl);
  if (top !== undefined) {
    body.recoverable = true;
    body.positioned = true;
    body.epoch = top.epoch;
    body.offset = at?.offset ?? top.offset;
  }
  if (recovered !== undefined) body.was_recovering = true;
  if (recovered === true) body.recovered = true;
  const members = [JSON.stringify(body).slice(1, -1)];
  if (missed !== undefined)
    members.push(`"publications":[${missed.map(publicationJson).join(",")}]`);
  if (data !== undefined) members.push(`"data":${oneLine(data)}`);
  return `{${members.filter((member) => member !== "").join(",")}}`;
}

/** A publication in pushes and in history. Its data has the bytes that came in, on one line. */
export function publicationJson({ data, json, offset, info, tags }: Publication): string {
  const payload = json === true ? oneLine(data) : JSON.stringify(data);
  const position = offset === undefined ? "" : `,"offset":${offset}`;
  const who = info === undefined ? "" : `,"info":${infoJson(info)}`;
  return `{"data":${payload}${position}${who}${tags === undefined ? "" : `,"tags":${tags}`}}`;
}

/** A client as others see it ("Presence"). */
export function infoJson({ user, client, connectionInfo, topicInfo }: ClientInfo): string {
  const connection = connectionInfo === undefined ? "" : `,"conn_info":${oneLine(connectionInfo)}`;
  const topic = topicInfo === undefined ? "" : `,"chan_info":${oneLine(topicInfo)}`;
  return `{"user":${JSON.stringify(user)},"client":${JSON.stringify(client)}${connection}${topic}}`;
}

// Members that are false, 0 or empty are left out ("Replies and errors").
function expiry(ttl: number | undefined): Record<string, unknown> {
  return ttl === undefined ? {} : { expires: true, ttl: Math.max(1, Math.ceil(ttl)) };
}

/** A line feed would begin another message. In JSON it only occurs between tokens, where a space means the same. */
function oneLine(json: string): string {
  return /[\r\n]/.test(json) ? json.replace(/[\r\n]/g, " ") : json;
}
