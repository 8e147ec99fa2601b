// What the methods of the Centrifuge protocol take and which command each becomes, in both of its forms.
// docs/centrifuge-protocol.md says what each of them means; the comments here name its sections.
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import type { Introduction, Resumption, SessionCommand } from "../../relay/contracts/commands";
import { notAvailable, Refusal } from "../../relay/contracts/errors";
import { ANY_EPOCH, type Position } from "../../relay/contracts/publication";
import { Shape } from "../../shape";

/** A frame, or a command in it, that breaks the protocol. */
export const VIOLATION: SessionCommand = { kind: "violation" };

const Text = Type.Optional(Type.String());
const Flag = Type.Optional(Type.Boolean());
const Offset = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }));
const Flags = Type.Optional(Type.Integer());
const Recover = { recover: Flag, offset: Offset, epoch: Text, flag: Flags };
const Resume = Type.Object(Recover);
const SincePosition = Type.Optional(Type.Object({ offset: Offset, epoch: Text }));

const Connect = Type.Object({
  token: Text,
  name: Text,
  version: Text,
  headers: Type.Optional(Type.Object({}, { additionalProperties: Type.String() })),
  // Not a Record: TypeBox's pattern for its keys skips keys that contain U+2028, whatever their values are.
  subs: Type.Optional(Type.Object({}, { additionalProperties: Resume })),
});
const Subscribe = Type.Object({
  channel: Text,
  token: Text,
  join_leave: Flag,
  delta: Text,
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
const Call = Type.Object({ method: Text });
const Anything = Type.Object({});

const NO_FILTERS = new Refusal("invalid_body", "Filters on subscriptions are not supported.");

/** Bit 2 of `flag`: refuse the subscription rather than start it with a gap ("Publications and recovery"). */
const REJECT_UNRECOVERED = 2;

/** What a method carries, as its shape describes it. Only `data` stands beside it, since its bytes go out unchanged. */
type Make<Schema extends TSchema> = (
  id: number,
  body: Static<Schema>,
  data: string | undefined,
) => SessionCommand | undefined;

interface Method {
  readonly name: string;
  readonly shape: Shape<TSchema>;
  /** The command; undefined for a violation of the protocol. */
  readonly make: Make<TSchema>;
}

function method<Schema extends TSchema>(name: string, schema: Schema, make: Make<Schema>): Method {
  return { name, shape: new Shape(schema), make } as unknown as Method;
}

/** A method on a topic. A missing or empty name is a violation ("Replies and errors"). */
function onTopic<Schema extends TSchema>(
  name: string,
  schema: Schema,
  make: (id: number, topic: string, body: Static<Schema>, data?: string) => SessionCommand,
): Method {
  return method(name, schema, (id, body, data) => {
    const { channel = "" } = body as { channel?: string };
    return channel === "" ? undefined : make(id, channel, body, data);
  });
}

/** In the order that decides when a command has several methods ("Replies and errors"). */
export const METHODS: readonly Method[] = [
  method("connect", Connect, (id, body, data) => {
    const { token = "", subs = {} } = body;
    const asked = Object.entries(subs as Record<string, Static<typeof Resume>>);
    const topics = new Map(asked.map(([topic, sub]) => [topic, resumption(sub)]));
    const introduction = introductionOf(body, data);
    return { kind: "connect", id, token, topics, ...(introduction && { introduction }) };
  }),
  onTopic("subscribe", Subscribe, (id, topic, body, data) => {
    const { token = "", type = 0, tf, delta = "" } = body;
    if (delta !== "" && delta !== "fossil") return VIOLATION;
    // Subscriptions to maps and polls have a type; ignoring a filter would deliver what the client does not want.
    if (type !== 0) return { kind: "refused", id, refusal: notAvailable() };
    if (tf !== undefined) return { kind: "refused", id, refusal: NO_FILTERS };
    const form = delta === "fossil" ? "deltas" : "plain";
    return { kind: "subscribe", id, topic, token, resumption: resumption(body), form, data };
  }),
  onTopic("unsubscribe", Channel, (id, topic) => ({ kind: "unsubscribe", id, topic })),
  onTopic("publish", Channel, (id, topic, _, data) => ({ kind: "publish", id, topic, data })),
  onTopic("presence", Channel, (id, topic) => ({ kind: "presence", id, topic })),
  onTopic("presence_stats", Channel, (id, topic) => ({ kind: "presenceCounts", id, topic })),
  onTopic("history", History, (id, topic, { limit = 0, since, reverse = false }) => {
    return { kind: "history", id, topic, limit, since: since && positionOf(since), reverse };
  }),
  method("rpc", Call, (id, { method: called = "" }, data) => {
    return { kind: "call", id, method: called, data };
  }),
  method("send", Anything, () => ({ kind: "send" })),
  method("refresh", Token, (id, { token = "" }) => ({ kind: "refresh", id, token })),
  method("sub_refresh", ChannelToken, (id, { channel: topic = "", token = "" }) => {
    return { kind: "refreshTopic", id, topic, token };
  }),
];

/** The command of a method. `data` is the JSON text that it carries. */
export function commandOf(
  { name, make }: Method,
  id: unknown,
  body: unknown,
  data?: string,
): SessionCommand {
  const hasId = typeof id === "number" && Number.isInteger(id) && id > 0 && id < 2 ** 32;
  if (!hasId && !(name === "send" && id === 0)) return VIOLATION;
  return make(id, body, data) ?? VIOLATION;
}

/** What a client says of itself; what is empty is left out, as both forms of the protocol have it. */
function introductionOf(
  { name, version, headers = {} }: Static<typeof Connect>,
  data: string | undefined,
): Introduction | undefined {
  const introduction = {
    ...(name && { name }),
    ...(version && { version }),
    ...(data !== undefined && { data }),
    ...(Object.keys(headers).length > 0 && { headers: headers as Record<string, string> }),
  };
  return Object.keys(introduction).length === 0 ? undefined : introduction;
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
