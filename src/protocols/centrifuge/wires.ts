// How clients are connected, in the words of Centrifugo: backends are told so when they are asked about a client.
import type { Protocol } from "../../relay/contracts/protocol";
import { centrifugeSse, centrifugeStream } from "./json";
import { centrifugeProtobuf, centrifugeProtobufStream } from "./protobuf";

interface Wire {
  readonly transport: "websocket" | "http_stream" | "sse" | "uni_websocket" | "uni_sse";
  readonly protocol: "json" | "protobuf";
}

const WIRES: ReadonlyMap<Protocol, Wire> = new Map<Protocol, Wire>([
  [centrifugeStream, { transport: "http_stream", protocol: "json" }],
  [centrifugeSse, { transport: "sse", protocol: "json" }],
  [centrifugeProtobuf, { transport: "websocket", protocol: "protobuf" }],
  [centrifugeProtobufStream, { transport: "http_stream", protocol: "protobuf" }],
]);

/** Registered clients are like Centrifugo's unidirectional ones: they send no commands that the backend could be asked about. */
export function wireOf(protocol: Protocol): Wire {
  const found = WIRES.get(protocol);
  if (found !== undefined) return found;
  if (protocol.kind === "session") return { transport: "websocket", protocol: "json" };
  const transport = protocol.transport === "stream" ? "uni_sse" : "uni_websocket";
  return { transport, protocol: "json" };
}
