// Decodes what a client of the Pusher protocol sends: a JSON object for each frame becomes a command. What cannot be read is refused,
// and the connection stays, since its client would not learn more from a close.
import { type Static, Type } from "@sinclair/typebox";
import type { SessionCommand } from "../../relay/contracts/commands";
import { type ErrorCode, Refusal } from "../../relay/contracts/errors";
import { fitsBytes } from "../../relay/text/checks";
import { isFarTooDeep, rawMember, withoutByteOrderMark } from "../../relay/text/json";
import { Shape } from "../../shape";
import { isCache, kindOf, topicOf } from "./channels";
import { isClientEvent } from "./event-names";

/** What the data of an event of a client may have: as on Pusher. */
const CLIENT_EVENT_BYTES_MAX = 10_240;

/** Some serializers write null for what is not set. */
const FrameBody = Type.Object({
  event: Type.String(),
  channel: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  data: Type.Optional(Type.Unknown()),
});

const shape = new Shape(FrameBody);

type ClientFrame = Static<typeof FrameBody>;

export function decode(frame: string | Uint8Array): readonly SessionCommand[] {
  if (typeof frame !== "string") return [refused("invalid_frame", "Frames must be text.")];
  const text = withoutByteOrderMark(frame);
  if (isFarTooDeep(text)) return [{ kind: "violation" }];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return [refused("malformed_json", "The frame is not JSON.")];
  }
  if (!shape.fits(value)) return [refused("invalid_frame", 'A frame is {"event":"…","data":{…}}.')];
  return [commandOf(value, text)];
}

function commandOf(frame: ClientFrame, text: string): SessionCommand {
  const { event } = frame;
  switch (event) {
    case "pusher:subscribe":
      return subscription(membersOf(frame.data));
    case "pusher:unsubscribe":
      return unsubscription(membersOf(frame.data));
    case "pusher:signin": {
      const { auth, user_data } = membersOf(frame.data);
      return {
        kind: "identify",
        id: 0,
        proof: { signature: textOf(auth), text: textOf(user_data) },
      };
    }
    case "pusher:ping":
      return { kind: "ping" };
    case "pusher:pong":
      return { kind: "pong" };
  }
  if (isClientEvent(event)) return clientEvent(frame, text);
  return refused("invalid_frame", "The relay knows no such event of a client.");
}

function subscription({ channel, auth, channel_data }: Members): SessionCommand {
  const topic = topicOf(textOf(channel));
  if (topic === undefined) return refused("invalid_topic", "No channel has this name.");
  return {
    kind: "subscribe",
    id: 0,
    topic,
    token: "",
    resumption: { since: undefined, orNothing: false },
    form: "plain",
    proof: {
      signature: textOf(auth),
      text: typeof channel_data === "string" ? channel_data : undefined,
    },
    wantsNewest: isCache(topic),
  };
}

function unsubscription({ channel }: Members): SessionCommand {
  const topic = topicOf(textOf(channel));
  if (topic === undefined) return refused("invalid_topic", "No channel has this name.");
  return { kind: "unsubscribe", id: 0, topic };
}

/** The bytes of its data go out unchanged. */
function clientEvent({ event, channel }: ClientFrame, text: string): SessionCommand {
  const topic = topicOf(channel ?? "");
  if (topic === undefined) return refused("invalid_topic", "No channel has this name.");
  const problem = (code: ErrorCode, message: string) => ({ ...refused(code, message), topic });
  const kind = kindOf(topic);
  if (kind !== "private" && kind !== "presence") {
    return problem(
      "permission_denied",
      "Clients may send events to private- and presence- channels only, and not to encrypted ones.",
    );
  }
  // Some clients lose an event without data.
  const data = rawMember(text, "data") ?? '"{}"';
  const content: string = data.startsWith('"') ? JSON.parse(data) : data;
  if (!fitsBytes(content, CLIENT_EVENT_BYTES_MAX)) {
    const most = `The data of an event of a client must have at most ${CLIENT_EVENT_BYTES_MAX} bytes.`;
    return problem("message_too_large", most);
  }
  return { kind: "publish", id: 0, topic, data, event, isEchoed: false };
}

type Members = Readonly<Record<string, unknown>>;

function membersOf(data: unknown): Members {
  return typeof data === "object" && data !== null ? (data as Members) : {};
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function refused(code: ErrorCode, message: string) {
  return { kind: "refused", id: 0, refusal: new Refusal(code, message) } as const;
}
