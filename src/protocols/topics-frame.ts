// The only command of the plain and the JSON protocol: {"topics": [...]}, in the JSON protocol perhaps with positions.
import { type Static, type TSchema, Type } from "@sinclair/typebox";
import type { TopicsCommand } from "../relay/contracts/commands";
import { Refusal } from "../relay/contracts/errors";
import { NO_EPOCH, type Position } from "../relay/contracts/publication";
import { parseJson, withoutByteOrderMark } from "../relay/text/json";
import { Shape } from "../shape";

const topics = Type.Array(Type.String(), {
  description: "The topics of this connection from now on, instead of those it had.",
});

const Since = Type.Object(
  {
    offset: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    epoch: Type.String(),
  },
  { additionalProperties: false },
);

export const TopicsFrame = Type.Object({ topics }, { additionalProperties: false });

/** The same with `since`, the position that the client has of each topic; it is sent the later publications first. */
export const TopicsSinceFrame = Type.Object(
  // Not a Record: its pattern for keys skips names with U+2028 in them, whatever their values are.
  { topics, since: Type.Optional(Type.Object({}, { additionalProperties: Since })) },
  { additionalProperties: false },
);

const NO_POSITIONS: ReadonlyMap<string, Position> = new Map();

/** A decoder of such frames. `expected` tells the sender of any other frame what to send. */
export function topicsDecoder(
  schema: typeof TopicsFrame | typeof TopicsSinceFrame,
  expected: string,
): (frame: string | Uint8Array) => TopicsCommand | Refusal {
  const shape = new Shape<TSchema>(schema);
  return (frame) => {
    if (typeof frame !== "string") {
      return new Refusal("invalid_frame", `Binary frames are not accepted. ${expected}`);
    }
    let value: unknown;
    try {
      value = parseJson(withoutByteOrderMark(frame));
    } catch {
      return new Refusal("malformed_json", `The frame is not JSON. ${expected}`);
    }
    if (!shape.fits(value)) {
      return new Refusal("invalid_frame", `The frame is not a command. ${expected}`);
    }
    const command = value as Static<typeof TopicsSinceFrame>;
    const since = command.since === undefined ? NO_POSITIONS : positionsOf(command.since);
    return { kind: "topics", topics: command.topics, since };
  };
}

/** A position without an epoch counts as lost; it must not pass for one of any epoch. */
function positionsOf(since: Record<string, Position>): Map<string, Position> {
  const entries = Object.entries(since);
  return new Map(
    entries.map(([name, { offset, epoch }]) => [name, { offset, epoch: epoch || NO_EPOCH }]),
  );
}
