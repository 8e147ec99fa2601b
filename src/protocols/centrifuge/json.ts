// The Centrifuge client protocol, version 2, in JSON: one wire for sockets, and the same lines over two kinds of streams.
// docs/centrifuge-protocol.md says what is spoken; the comments here name its sections.
import type { Push, Reply, Subscribed } from "../../relay/contracts/commands";
import type { SessionProtocol } from "../../relay/contracts/protocol";
import type { ClientInfo, Publication } from "../../relay/contracts/publication";
import type { TransportName } from "../../relay/contracts/transport";
import { oneLine, payloadOf } from "../../relay/text/payload";
import { CLOSES, clientError } from "./codes";
import { decodeCommands } from "./json-commands";
import { expiry, pingSeconds, subscribeFields } from "./results";

/** On a WebSocket: each reply is a frame, and each push or, in waves, several with a line feed between them. */
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
    name,
    transport,
    closes: CLOSES,
    ping: framed("{}"),
    decode: decodeCommands,
    ...(transport === "socket" && { join: (frames) => frames.join("\n") }),
    encodePublication: (publication) =>
      framed(pushOf(publication.topic, "pub", publicationJson(publication))),
    deltas: {
      encodePublication: (publication) =>
        framed(pushOf(publication.topic, "pub", publicationText(publication))),
      encodePatch: (publication, patch) =>
        framed(pushOf(publication.topic, "pub", patchJson(publication, patch))),
    },
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
      const head = { client, version, ...expiry(ttl), ping: pingSeconds(pingMs), pong: true };
      const rest = { ...head, session, node };
      const given = reply.data === undefined ? "" : `,"data":${oneLine(reply.data)}`;
      const body = JSON.stringify(rest).slice(0, -1) + given;
      return `{"id":${id},"connect":${body}${subs.length === 0 ? "" : `,"subs":{${subs.join(",")}}`}}}`;
    }
    case "subscribed":
      return `{"id":${id},"subscribe":${subscribed(reply.subscribed)}}`;
    case "done":
      return `{"id":${id},"${reply.of}":{}}`;
    case "called":
      return `{"id":${id},"rpc":{${reply.data === undefined ? "" : `"data":${oneLine(reply.data)}`}}}`;
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
      return `{"id":${id},"error":${JSON.stringify(clientError(reply.refusal))}}`;
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

function subscribed(result: Subscribed): string {
  const { missed, data, form } = result;
  const members = [JSON.stringify(subscribeFields(result)).slice(1, -1)];
  if (missed !== undefined) {
    const encoded = missed.map(form === "deltas" ? publicationText : publicationJson);
    members.push(`"publications":[${encoded.join(",")}]`);
  }
  if (data !== undefined) members.push(`"data":${oneLine(data)}`);
  return `{${members.filter((member) => member !== "").join(",")}}`;
}

/** A publication in pushes and in history. Its data has the bytes that came in, on one line. */
export function publicationJson(publication: Publication): string {
  return `{"data":${payloadOf(publication)}${membersOf(publication)}}`;
}

/** A publication where deltas are on: its data is a text, of which the next patch can be made ("Deltas"). */
function publicationText(publication: Publication): string {
  return `{"data":${JSON.stringify(payloadOf(publication))}${membersOf(publication)}}`;
}

function patchJson(publication: Publication, patch: string): string {
  return `{"data":${JSON.stringify(patch)},"delta":true${membersOf(publication)}}`;
}

/** What a publication has besides its data. */
function membersOf({ offset, info, tags }: Publication): string {
  const position = offset === undefined ? "" : `,"offset":${offset}`;
  const who = info === undefined ? "" : `,"info":${infoJson(info)}`;
  return `${position}${who}${tags === undefined ? "" : `,"tags":${tags}`}`;
}

/** A client as others see it ("Presence"). */
export function infoJson({ user, client, connectionInfo, topicInfo }: ClientInfo): string {
  const connection = connectionInfo === undefined ? "" : `,"conn_info":${oneLine(connectionInfo)}`;
  const topic = topicInfo === undefined ? "" : `,"chan_info":${oneLine(topicInfo)}`;
  return `{"user":${JSON.stringify(user)},"client":${JSON.stringify(client)}${connection}${topic}}`;
}
