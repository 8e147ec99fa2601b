// The Pusher protocol, GET /app/:key: pusher-js, Laravel Echo, pusher-java-client and others, versions 5 to 7, which differ in nothing
// that the relay says or hears. Its clients know no positions. docs/pusher.md says what they can do here.
import type { SessionProtocol } from "../../relay/contracts/protocol";
import { CLOSES, disconnectCode } from "./codes";
import { decode } from "./commands";
import {
  encodeCount,
  encodeIdentified,
  encodeMember,
  encodeNewest,
  encodePublication,
  encodePush,
  encodeReply,
  errorFrame,
  PONG,
} from "./frames";

/** pusher-js adds no random part, and then tries again after 15 s. */
const RETURNS_AFTER_MS = 1_000;

/** `activityS`: after how many seconds without a frame a client asks whether the relay is alive. */
export function pusherProtocol(activityS: number): SessionProtocol {
  return {
    kind: "session",
    name: "pusher",
    transport: "socket",
    closes: CLOSES,
    // Not all of its clients answer a question in the protocol, and those that do not fall silent after it.
    ping: undefined,
    pong: PONG,
    decode,
    encodePublication,
    encodeReply: (reply) => encodeReply(reply, activityS),
    encodePush,
    encodeMember,
    encodeCount,
    encodeIdentified,
    encodeNewest,
    disconnectCode,
    returnsAfterMs: RETURNS_AFTER_MS,
    // Some clients do not read close codes, so an error says it first. They come back after all that has none.
    encodeDisconnect: (code, reason) => (code >= 4000 ? errorFrame(code, reason) : undefined),
  };
}
