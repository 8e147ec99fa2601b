// The protobuf form of the Centrifuge protocol by another implementation than the relay's own (protobufjs), with the public
// numbers of its fields. Messages are objects like those of the JSON form, where payloads are values.
import protobuf from "protobufjs";

const SCHEMA = `
syntax = "proto3";
message Command {
  uint32 id = 1; Connect connect = 4; Subscribe subscribe = 5; Topic unsubscribe = 6; Publish publish = 7; Topic presence = 8;
  Topic presence_stats = 9; History history = 10; Empty ping = 11; Send send = 12; Rpc rpc = 13; Token refresh = 14;
  TopicToken sub_refresh = 15;
}
message Connect {
  string token = 1; bytes data = 2; map<string, Subscribe> subs = 3; string name = 4; string version = 5;
  map<string, string> headers = 6; int64 flag = 7;
}
message Subscribe {
  string channel = 1; string token = 2; bool recover = 3; string epoch = 6; uint64 offset = 7; bytes data = 8;
  bool positioned = 9; bool recoverable = 10; bool join_leave = 11; string delta = 12; Filter tf = 13; int64 flag = 14;
  int32 type = 15;
}
message Filter { string op = 1; string key = 2; }
message Topic { string channel = 1; }
message Publish { string channel = 1; bytes data = 2; }
message History { string channel = 1; int32 limit = 7; Position since = 8; bool reverse = 9; }
message Position { uint64 offset = 1; string epoch = 2; }
message Empty {}
message Send { bytes data = 1; }
message Rpc { bytes data = 1; string method = 2; }
message Token { string token = 1; }
message TopicToken { string channel = 1; string token = 2; }
message Emulation { string node = 1; string session = 2; bytes data = 3; }

message Reply {
  uint32 id = 1; Error error = 2; Push push = 4; Connected connect = 5; Subscribed subscribe = 6; Empty unsubscribe = 7;
  Empty publish = 8; Presence presence = 9; Counts presence_stats = 10; Page history = 11; Empty ping = 12; Send rpc = 13;
  Refreshed refresh = 14; Expiry sub_refresh = 15;
}
message Error { uint32 code = 1; string message = 2; bool temporary = 3; }
message Push {
  int64 id = 1; string channel = 2; Publication pub = 4; Who join = 5; Who leave = 6; Closed unsubscribe = 7;
  Send message = 8; PushedSubscription subscribe = 9; Connected connect = 10; Disconnect disconnect = 11;
}
message Connected {
  string client = 1; string version = 2; bool expires = 3; uint32 ttl = 4; bytes data = 5; map<string, Subscribed> subs = 6;
  uint32 ping = 7; bool pong = 8; string session = 9; string node = 10;
}
message Subscribed {
  bool expires = 1; uint32 ttl = 2; bool recoverable = 3; string epoch = 6; repeated Publication publications = 7;
  bool recovered = 8; uint64 offset = 9; bool positioned = 10; bytes data = 11; bool was_recovering = 12; bool delta = 13;
  int64 id = 14;
}
message PushedSubscription { bool recoverable = 1; string epoch = 4; uint64 offset = 5; bool positioned = 6; bytes data = 7; }
message Publication {
  bytes data = 4; ClientInfo info = 5; uint64 offset = 6; map<string, string> tags = 7; bool delta = 8;
}
message ClientInfo { string user = 1; string client = 2; bytes conn_info = 3; bytes chan_info = 4; }
message Who { ClientInfo info = 1; }
message Closed { uint32 code = 2; string reason = 3; }
message Disconnect { uint32 code = 1; string reason = 2; bool reconnect = 3; }
message Presence { map<string, ClientInfo> presence = 1; }
message Counts { uint32 num_clients = 1; uint32 num_users = 2; }
message Page { repeated Publication publications = 1; string epoch = 2; uint64 offset = 3; }
message Refreshed { string client = 1; string version = 2; bool expires = 3; uint32 ttl = 4; }
message Expiry { bool expires = 1; uint32 ttl = 2; }
`;

const { root } = protobuf.parse(SCHEMA, { keepCase: true });
const Command = root.lookupType("Command");
const Reply = root.lookupType("Reply");
const Emulation = root.lookupType("Emulation");

/** Members whose values are JSON in one form and its bytes in the other. */
const PAYLOADS = new Set(["data", "conn_info", "chan_info"]);

const MAPS = new Set(["subs"]);
const TEXT_MAPS = new Set(["tags", "headers"]);

/** One frame of these commands. */
export function encodeCommands(commands: readonly object[]): Uint8Array<ArrayBuffer> {
  const writer = protobuf.Writer.create();
  for (const command of commands) {
    Command.encodeDelimited(Command.fromObject(withBytes(command)), writer);
  }
  return writer.finish() as Uint8Array<ArrayBuffer>;
}

/** The body of a request that carries commands to a stream. */
export function encodeEmulation(emulation: {
  readonly session: string;
  readonly node: string;
  readonly data: Uint8Array;
}): Uint8Array<ArrayBuffer> {
  return Emulation.encode(Emulation.fromObject(emulation)).finish() as Uint8Array<ArrayBuffer>;
}

/** The replies and pushes of a frame; throws when it has anything else. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of any shape
export function decodeReplies(frame: Uint8Array): any[] {
  const reader = protobuf.Reader.create(frame);
  const replies: object[] = [];
  while (reader.pos < reader.len) {
    const reply = Reply.decodeDelimited(reader);
    const object = Reply.toObject(reply, { longs: Number, bytes: Uint8Array });
    replies.push(withValues(object));
  }
  return replies;
}

/** The same message with the bytes of its payloads' JSON, as a program must give it to an SDK that speaks protobuf. */
export function withBytes(message: object): object {
  return withPayloads(message, bytesOf);
}

/** The same message with the values of its payloads. */
export function withValues(message: object): object {
  return withPayloads(message, payloadOf);
}

function bytesOf(value: unknown): unknown {
  return value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value));
}

/** A patch of a delta stays a text: it begins with a number and a line feed, so it is no JSON. */
function payloadOf(bytes: unknown): unknown {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes as Uint8Array);
  return /^[\w~]+\n/.test(text) ? text : JSON.parse(text);
}

type Convert = (payload: unknown) => unknown;

/** A copy in which the payloads, at any depth, are converted. Names in a map may be those of payloads. */
function withPayloads(object: object, convert: Convert): object {
  const members = Object.entries(object).map(([name, value]) => {
    if (PAYLOADS.has(name)) return [name, convert(value)];
    if (typeof value !== "object" || value === null || TEXT_MAPS.has(name)) return [name, value];
    // A number of 64 bits.
    if ("low" in value) return [name, value];
    if (Array.isArray(value)) return [name, value.map((item) => withPayloads(item, convert))];
    return [name, MAPS.has(name) ? mapWithPayloads(value, convert) : withPayloads(value, convert)];
  });
  return Object.fromEntries(members);
}

function mapWithPayloads(map: object, convert: Convert): object {
  return Object.fromEntries(
    Object.entries(map).map(([name, value]) => [name, withPayloads(value, convert)]),
  );
}
