// Decodes what a Centrifuge client sends: JSON objects, one to a line, become commands. docs/centrifuge-protocol.md says what
// each of them means; the comments here name its sections.
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import type { Resumption, SessionCommand } from "../../relay/contracts/commands";
import { notAvailable, Refusal } from "../../relay/contracts/errors";
import { COMMANDS_MAX } from "../../relay/contracts/limits";
import { ANY_EPOCH, type Position } from "../../relay/contracts/publication";
import { rawMember } from "../../relay/text/json";

const Text = Type.Optional(Type.String());
const Flag = Type.Optional(Type.Boolean());
const Offset = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }));
const Flags = Type.Optional(Type.Integer());
const Recover = { recover: Flag, offset: Offset, epoch: Text, flag: Flags };
const Resume = Type.Object(Recover);
const SincePosition = Type.Optional(Type.Object({ offset: Offset, epoch: Text }));

const Connect = Type.Object({
  token: Text,
  // Not a Record: TypeBox's pattern for its keys skips keys that contain U+2028, whatever their values are.
  subs: Type.Optional(Type.Object({}, { additionalProperties: Resume })),
});
const Subscribe = Type.Object({
  channel: Text,
  token: Text,
  join_leave: Flag,
  type: Flags,
  tf: Type.Optional(Type.Unknown()),
  ...Recover,
});
const Channel = Type.Object({ channel: Text });
const History = Type.Object({
  channel: Text,
  limit: Type.Optional(Type.Integer()),
  since: SincePosition,
  reverse: Flag,
});
const Token = Type.Object({ token: Text });
const ChannelToken = Type.Object({ channel: Text, token: Text });
const Anything = Type.Object({});

const NO_FILTERS = new Refusal("invalid_body", "Filters on subscriptions are not supported.");

/** Bit 2 of `flag`: refuse the subscription rather than start it with a gap ("Publications and recovery"). */
const REJECT_UNRECOVERED = 2;

interface Method<Schema extends TSchema> {
  readonly shape: TypeCheck<Schema>;
  /** The command; undefined for a violation of the protocol. */
  readonly make: (id: number, body: Static<Schema>, line: string) => SessionCommand | undefined;
}

function method<Schema extends TSchema>(
  schema: Schema,
  make: Method<Schema>["make"],
): Method<TSchema> {
  return { shape: TypeCompiler.Compile(schema), make } as unknown as Method<TSchema>;
}

/** A method on a topic. A missing or empty name is a violation ("Replies and errors"). */
function onTopic<Schema extends TSchema>(
  schema: Schema,
  make: (id: number, topic: string, body: Static<Schema>, line: string) => SessionCommand,
): Method<TSchema> {
  return method(schema, (id, body, line) => {
    const { channel = "" } = body as { channel?: string };
    return channel === "" ? undefined : make(id, channel, body, line);
  });
}

/** In the order that decides when an object has several methods ("Replies and errors"). */
const METHODS: readonly (readonly [string, Method<TSchema>])[] = [
  [
    "connect",
    method(Connect, (id, { token = "", subs = {} }) => {
      const asked = Object.entries(subs as Record<string, Static<typeof Resume>>);
      const topics = new Map(asked.map(([name, sub]) => [name, resumption(sub)]));
      return { kind: "connect", id, token, topics };
    }),
  ],
  [
    "subscribe",
    onTopic(Subscribe, (id, topic, body) => {
      const { token = "", type = 0, tf } = body;
      // Subscriptions to maps and polls have a type; ignoring a filter would deliver what the client does not want.
      if (type !== 0) return { kind: "refused", id, refusal: notAvailable() };
      if (tf !== undefined) return { kind: "refused", id, refusal: NO_FILTERS };
      return { kind: "subscribe", id, topic, token, resumption: resumption(body) };
    }),
  ],
  ["unsubscribe", onTopic(Channel, (id, topic) => ({ kind: "unsubscribe", id, topic }))],
  [
    "publish",
    onTopic(Channel, (id, topic, _, line) => {
      return { kind: "publish", id, topic, data: rawMember(line, "publish", "data") };
    }),
  ],
  ["presence", onTopic(Channel, (id, topic) => ({ kind: "presence", id, topic }))],
  ["presence_stats", onTopic(Channel, (id, topic) => ({ kind: "presenceCounts", id, topic }))],
  [
    "history",
    onTopic(History, (id, topic, { limit = 0, since, reverse = false }) => {
      return { kind: "history", id, topic, limit, since: since && positionOf(since), reverse };
    }),
  ],
  ["rpc", method(Anything, (id) => ({ kind: "call", id }))],
  ["send", method(Anything, () => ({ kind: "send" }))],
  ["refresh", method(Token, (id, { token = "" }) => ({ kind: "refresh", id, token }))],
  [
    "sub_refresh",
    method(ChannelToken, (id, { channel: topic = "", token = "" }) => {
      return { kind: "refreshTopic", id, topic, token };
    }),
  ],
];

const VIOLATION: SessionCommand = { kind: "violation" };

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** All commands of a frame, in order, up to the first violation. Never throws. Costs the frame's length. */
export function decodeCommands(frame: string | Uint8Array): readonly SessionCommand[] {
  let text: string;
  try {
    text = typeof frame === "string" ? frame : utf8.decode(frame);
  } catch {
    return [VIOLATION];
  }
  const lines = text.split("\n", COMMANDS_MAX + 2);
  if (lines.length > 1 && lines.at(-1) === "") lines.pop();
  if (lines.length > COMMANDS_MAX) return [VIOLATION];
  const commands: SessionCommand[] = [];
  for (const line of lines) {
    const command = decodeCommand(line);
    commands.push(command);
    if (command === VIOLATION) break;
  }
  return commands;
}

function decodeCommand(line: string): SessionCommand {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return VIOLATION;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return VIOLATION;
  const object = value as Record<string, unknown>;
  const found = METHODS.find(([name]) => Object.hasOwn(object, name) && object[name] !== null);
  if (found === undefined) return Object.keys(object).length === 0 ? { kind: "pong" } : VIOLATION;
  const [name, { shape, make }] = found;
  const { id = 0 } = object;
  const hasId = typeof id === "number" && Number.isInteger(id) && id > 0 && id < 2 ** 32;
  if (!hasId && !(name === "send" && id === 0)) return VIOLATION;
  const body = withoutNulls(object[name]);
  if (!shape.Check(body)) return VIOLATION;
  return make(id as number, body, line) ?? VIOLATION;
}

/** Null is the same as a missing member, as on Centrifugo. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value);
  if (Array.isArray(value) || members.every(([, member]) => member !== null)) return value;
  return Object.fromEntries(members.filter(([, member]) => member !== null));
}

function resumption(body: {
  recover?: boolean;
  offset?: number;
  epoch?: string;
  flag?: number;
}): Resumption {
  const { recover = false, flag = 0 } = body;
  return {
    since: recover ? positionOf(body) : undefined,
    orNothing: (flag & REJECT_UNRECOVERED) !== 0,
  };
}

function positionOf({
  offset = 0,
  epoch = ANY_EPOCH,
}: {
  offset?: number;
  epoch?: string;
}): Position {
  return { offset, epoch };
}
