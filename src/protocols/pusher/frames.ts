// Encodes what a client of the Pusher protocol is sent. `data` is a text with JSON in it, because some clients parse nothing else,
// except in errors, where some clients read nothing but an object, and in events of clients, which go out as they came in.
import type {
  MemberPush,
  MemberView,
  Push,
  Reply,
  Subscribed,
} from "../../relay/contracts/commands";
import { ERRORS } from "../../relay/contracts/errors";
import type { Publication } from "../../relay/contracts/publication";
import { channelOf, kindOf } from "./channels";
import { EVENT_REFUSED } from "./codes";
import { isClientEvent } from "./event-names";

/** The name of what was published without one. */
const NAMELESS = "message";

export const PONG = '{"event":"pusher:pong","data":"{}"}';

/** `data` is JSON. */
function frame(event: string, data: string, channel?: string): string {
  const where = channel === undefined ? "" : `,"channel":${JSON.stringify(channel)}`;
  return `{"event":${JSON.stringify(event)}${where},"data":${data}}`;
}

export function encodePublication({ topic, event = NAMELESS, data, info }: Publication): string {
  const channel = channelOf(topic);
  if (info === undefined || !isClientEvent(event)) {
    return frame(event, JSON.stringify(data), channel);
  }
  const sender = kindOf(topic) === "presence" ? `,"user_id":${JSON.stringify(info.user)}` : "";
  return `${frame(event, data, channel).slice(0, -1)}${sender}}`;
}

export function encodeReply(reply: Reply, activityS: number): string {
  switch (reply.kind) {
    case "connected":
      return frame(
        "pusher:connection_established",
        JSON.stringify(JSON.stringify({ socket_id: reply.client, activity_timeout: activityS })),
      );
    case "subscribed":
      return succeeded(reply.subscribed);
    case "refused":
      return refused(reply);
    default:
      return "";
  }
}

function succeeded({ topic, members }: Subscribed): string {
  const data = members === undefined ? '"{}"' : members.encoded(presenceData);
  return frame("pusher_internal:subscription_succeeded", data, channelOf(topic));
}

/** Users, not connections. */
function presenceData(members: MemberView["members"]): string {
  const ids = [...members.keys()].map((user) => JSON.stringify(user));
  const hash = [...members].map(([user, info]) => `${JSON.stringify(user)}:${info ?? "null"}`);
  return JSON.stringify(
    `{"presence":{"count":${members.size},"ids":[${ids.join(",")}],"hash":{${hash.join(",")}}}}`,
  );
}

function refused({ of, topic, refusal }: Extract<Reply, { kind: "refused" }>): string {
  if (of !== "subscribe" || topic === undefined) {
    return errorFrame(EVENT_REFUSED, refusal.message, topic && channelOf(topic));
  }
  const { code, message } = refusal;
  // The type that the library's documentation tells apps to look for.
  const isDenied = code === "permission_denied";
  const type = isDenied ? "AuthError" : "SubscriptionError";
  const status = isDenied ? 401 : ERRORS[code].status;
  const data = JSON.stringify({ type, error: message, status });
  return frame("pusher:subscription_error", data, channelOf(topic));
}

export function errorFrame(code: number, message: string, channel?: string): string {
  return frame("pusher:error", JSON.stringify({ code, message }), channel);
}

export function encodePush(push: Push): string {
  return push.kind === "subscribed" ? succeeded(push.subscribed) : "";
}

export function encodeMember({ kind, topic, member }: MemberPush): string {
  const user = JSON.stringify(member.user);
  const [event, data] =
    kind === "memberAdded"
      ? ["pusher_internal:member_added", `{"user_id":${user},"user_info":${member.info ?? "null"}}`]
      : ["pusher_internal:member_removed", `{"user_id":${user}}`];
  return frame(event, JSON.stringify(data), channelOf(topic));
}

/**
 * Undefined in encrypted channels: pusher-java-client takes this for ciphertext there and throws on a thread of its own, which ends an app
 * on Android.
 */
export function encodeCount(topic: string, count: number): string | undefined {
  if (kindOf(topic) === "encrypted") return undefined;
  const data = JSON.stringify(`{"subscription_count":${count}}`);
  return frame("pusher_internal:subscription_count", data, channelOf(topic));
}

export function encodeIdentified(text: string): string {
  return frame("pusher:signin_success", JSON.stringify(JSON.stringify({ user_data: text })));
}

/** The last event of a channel that shows it to each new subscriber. */
export function encodeNewest(topic: string, newest: Publication | undefined): string {
  if (newest !== undefined) return encodePublication(newest);
  return frame("pusher:cache_miss", '"{}"', channelOf(topic));
}
