// The list of protocols. The contract suite runs for each row of it.
import type { Protocol } from "../relay/contracts/protocol";
import { centrifuge, centrifugeSse, centrifugeStream } from "./centrifuge/json";
import { centrifugeProtobuf, centrifugeProtobufStream } from "./centrifuge/protobuf";
import { decodeEmulation } from "./centrifuge/protobuf-commands";
import { json } from "./json";
import { plain } from "./plain";
import { channelOf, isCache, kindOf, topicOf } from "./pusher/channels";
import { NO_SUCH_APP, OTHER_VERSION } from "./pusher/codes";
import { isClientEvent } from "./pusher/event-names";
import { pusherProtocol } from "./pusher/protocol";
import { sse, sseJson } from "./sse";

/** Those of GET /ws/:id, by the value of `format`; "" when it is not given. */
export const SOCKET_FORMATS = { "": plain, json };

/** Those of GET /sse/:id. */
export const STREAM_FORMATS = { "": sse, json: sseJson };

/** Those of clients that say who they are by a command, in text and in binary. */
export const SESSION_PROTOCOLS = {
  text: { socket: centrifuge, stream: centrifugeStream, sse: centrifugeSse },
  binary: { socket: centrifugeProtobuf, stream: centrifugeProtobufStream, decodeEmulation },
};

/** The Pusher protocol of a relay whose clients ask whether it is alive after so much silence, in whole seconds. */
export function pusherFormat({ pusherActivityMs }: { readonly pusherActivityMs: number }) {
  const activityS = Math.ceil(pusherActivityMs / 1_000);
  const codes = { noSuchApp: NO_SUCH_APP, otherVersion: OTHER_VERSION };
  const names = { kindOf, isCache, topicOf, channelOf, isClientEvent };
  return { protocol: pusherProtocol(activityS), ...names, codes };
}

export const PROTOCOLS: readonly Protocol[] = [
  ...Object.values(SOCKET_FORMATS),
  ...Object.values(STREAM_FORMATS),
  ...(json.sizes ?? []),
  ...(sseJson.sizes ?? []),
  ...Object.values(SESSION_PROTOCOLS.text),
  SESSION_PROTOCOLS.binary.socket,
  SESSION_PROTOCOLS.binary.stream,
  pusherProtocol(120),
];
