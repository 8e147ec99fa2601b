// The list of protocols. The contract suite runs for each row of it.
import type { Protocol } from "../relay/contracts/protocol";
import { centrifuge, centrifugeSse, centrifugeStream } from "./centrifuge/json";
import { json } from "./json";
import { plain } from "./plain";
import { sse, sseJson } from "./sse";

/** Those of GET /ws/:id, by the value of `format`; "" when it is not given. */
export const SOCKET_FORMATS = { "": plain, json };

/** Those of GET /sse/:id. */
export const STREAM_FORMATS = { "": sse, json: sseJson };

/** Those of clients that say who they are by a command. */
export const SESSION_PROTOCOLS = {
  socket: centrifuge,
  stream: centrifugeStream,
  sse: centrifugeSse,
};

export const PROTOCOLS: readonly Protocol[] = [
  ...Object.values(SOCKET_FORMATS),
  ...Object.values(STREAM_FORMATS),
  ...(json.sizes ?? []),
  ...(sseJson.sizes ?? []),
  ...Object.values(SESSION_PROTOCOLS),
];
