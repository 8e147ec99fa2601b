// The Centrifuge client protocol, version 2, in protobuf: replies and pushes, each behind its length, in binary frames of
// sockets or one after the other in a response that does not end. docs/centrifuge-protocol.md says what is spoken. The
// numbers are those of the fields; the last field of a message is written first.
import type { Push, Reply, Subscribed } from "../../relay/contracts/commands";
import type { SessionProtocol } from "../../relay/contracts/protocol";
import type { ClientInfo, Publication } from "../../relay/contracts/publication";
import type { Frame, TransportName } from "../../relay/contracts/transport";
import { payloadOf } from "../../relay/text/payload";
import { CLOSES, clientError } from "./codes";
import { decodeProtobuf } from "./protobuf-commands";
import { ProtobufWriter } from "./protobuf-writer";
import { expiry, pingSeconds, subscribeFields } from "./results";

const writer = new ProtobufWriter();

/** The numbers of the parts of a reply and of a push. */
const REPLY = {
  error: 2,
  push: 4,
  connect: 5,
  subscribe: 6,
  unsubscribe: 7,
  publish: 8,
  presence: 9,
  presenceCounts: 10,
  history: 11,
  called: 13,
  refreshed: 14,
  refreshedTopic: 15,
} as const;
const PUSH = {
  publication: 4,
  join: 5,
  leave: 6,
  unsubscribed: 7,
  subscribed: 9,
  disconnect: 11,
} as const;

export const centrifugeProtobuf: SessionProtocol = over("centrifuge-protobuf", "socket");

export const centrifugeProtobufStream: SessionProtocol = over(
  "centrifuge-protobuf-stream",
  "stream",
);

function over(name: string, transport: TransportName): SessionProtocol {
  return {
    kind: "session",
    name,
    transport,
    closes: CLOSES,
    ping: new Uint8Array(1),
    decode: decodeProtobuf,
    ...(transport === "socket" && {
      join: (frames) => new Uint8Array(Buffer.concat(frames as readonly Uint8Array[])),
    }),
    encodePublication(publication) {
      writer.begin();
      writePublication(PUSH.publication, publication, bytesOf(publication));
      return pushOf(publication.topic);
    },
    deltas: {
      encodePublication(publication) {
        writer.begin();
        writePublication(PUSH.publication, publication, payloadOf(publication));
        return pushOf(publication.topic);
      },
      encodePatch(publication, patch) {
        writer.begin();
        writePublication(PUSH.publication, publication, patch, "patch");
        return pushOf(publication.topic);
      },
    },
    encodeReply,
    encodePush,
    // A socket has a close frame for it.
    encodeDisconnect: transport === "socket" ? () => undefined : encodeDisconnect,
  };
}

/** The push of what was written, in a topic. */
function pushOf(topic: string): Frame {
  writer.text(2, topic);
  writer.message(REPLY.push, 0);
  return writer.frame();
}

function encodePush(push: Push): Frame {
  writer.begin();
  switch (push.kind) {
    case "join":
    case "leave":
      writeInfo(1, push.info);
      writer.message(PUSH[push.kind], 0);
      return pushOf(push.topic);
    case "subscribed": {
      const { recoverable, positioned, epoch, offset } = subscribeFields(push.subscribed);
      writer.text(7, push.subscribed.data);
      if (positioned) writer.flag(6);
      writer.number(5, offset);
      writer.text(4, epoch);
      if (recoverable) writer.flag(1);
      writer.message(PUSH.subscribed, 0);
      return pushOf(push.subscribed.topic);
    }
    case "unsubscribed":
      writer.text(3, push.reason);
      writer.number(2, push.code);
      writer.message(PUSH.unsubscribed, 0);
      return pushOf(push.topic);
  }
}

function encodeDisconnect(code: number, reason: string): Frame {
  writer.begin();
  writer.text(2, reason);
  writer.number(1, code);
  writer.message(PUSH.disconnect, 0);
  return pushOf("");
}

/** A result is there even if it is empty: some SDKs take the kind of a reply from it. */
function encodeReply(reply: Reply): Frame {
  writer.begin();
  writeResult(reply);
  writer.message(fieldOf(reply), 0);
  writer.number(1, reply.id);
  return writer.frame();
}

function fieldOf(reply: Reply): number {
  switch (reply.kind) {
    case "connected":
      return REPLY.connect;
    case "subscribed":
      return REPLY.subscribe;
    case "done":
      return REPLY[reply.of];
    case "refused":
      return REPLY.error;
    default:
      return REPLY[reply.kind];
  }
}

function writeResult(reply: Reply): void {
  switch (reply.kind) {
    case "connected":
      writeConnected(reply);
      return;
    case "subscribed":
      writeSubscribed(reply.subscribed);
      return;
    case "done":
      return;
    case "called":
      writer.text(1, reply.data);
      return;
    case "presence":
      writeMap(1, reply.clients, (info) => {
        writeInfo(2, info);
        return info.client;
      });
      return;
    case "presenceCounts":
      writer.number(2, reply.users);
      writer.number(1, reply.clients);
      return;
    case "history":
      writer.number(3, reply.page.top?.offset);
      writer.text(2, reply.page.top?.epoch);
      writePublications(1, reply.page.publications, bytesOf);
      return;
    case "refreshed":
      writeExpiry(3, reply.ttl);
      writer.text(1, reply.client);
      return;
    case "refreshedTopic":
      writeExpiry(1, reply.ttl);
      return;
    case "refused": {
      const { code, message, temporary } = clientError(reply.refusal);
      if (temporary) writer.flag(3);
      writer.text(2, message);
      writer.number(1, code);
    }
  }
}

function writeConnected(reply: Extract<Reply, { kind: "connected" }>): void {
  writer.text(10, reply.node);
  writer.text(9, reply.session);
  writer.flag(8);
  writer.number(7, pingSeconds(reply.pingMs));
  writeMap(6, reply.topics, (subscribed) => {
    const end = writer.written;
    writeSubscribed(subscribed);
    writer.message(2, end);
    return subscribed.topic;
  });
  writer.text(5, reply.data);
  writeExpiry(3, reply.ttl);
  writer.text(2, reply.version);
  writer.text(1, reply.client);
}

function writeSubscribed(subscribed: Subscribed): void {
  const { recoverable, positioned, epoch, offset, was_recovering, recovered, delta } =
    subscribeFields(subscribed);
  if (delta) writer.flag(13);
  if (was_recovering) writer.flag(12);
  writer.text(11, subscribed.data);
  if (positioned) writer.flag(10);
  writer.number(9, offset);
  if (recovered) writer.flag(8);
  writePublications(7, subscribed.missed ?? [], delta ? payloadOf : bytesOf);
  writer.text(6, epoch);
  if (recoverable) writer.flag(3);
  writeExpiry(1, subscribed.ttl);
}

/** Whether it expires, and in the field after that when. */
function writeExpiry(field: number, ttl: number | undefined): void {
  const { expires, ttl: seconds } = expiry(ttl);
  writer.number(field + 1, seconds);
  if (expires) writer.flag(field);
}

function writePublications(
  field: number,
  publications: readonly Publication[],
  dataOf: (publication: Publication) => string,
): void {
  for (let i = publications.length - 1; i >= 0; i--) {
    const publication = publications[i] as Publication;
    writePublication(field, publication, dataOf(publication));
  }
}

/** The data of a publication is JSON text in every form of the protocol, with the bytes that came in. */
function bytesOf({ data, json }: Publication): string {
  return json === true ? data : JSON.stringify(data);
}

function writePublication(
  field: number,
  { offset, info, tags }: Publication,
  data: string,
  kind: "whole" | "patch" = "whole",
): void {
  const end = writer.written;
  if (kind === "patch") writer.flag(8);
  if (tags !== undefined) {
    writeMap(7, Object.entries<string>(JSON.parse(tags)), ([key, value]) => {
      writer.text(2, value);
      return key;
    });
  }
  writer.number(6, offset);
  if (info !== undefined) writeInfo(5, info);
  writer.text(4, data);
  writer.message(field, end);
}

/** A client as others see it ("Presence"). */
function writeInfo(field: number, { user, client, connectionInfo, topicInfo }: ClientInfo): void {
  const end = writer.written;
  writer.text(4, topicInfo);
  writer.text(3, connectionInfo);
  writer.text(2, client);
  writer.text(1, user);
  writer.message(field, end);
}

/** A map, of which each entry is a message; `write` writes its value and returns its key. */
function writeMap<Item>(
  field: number,
  items: readonly Item[],
  write: (item: Item) => string,
): void {
  for (let i = items.length - 1; i >= 0; i--) {
    const end = writer.written;
    writer.text(1, write(items[i] as Item));
    writer.message(field, end);
  }
}
