// Centrifugo 6 with its memory engine and as much history as Baton keeps by default, if a `centrifugo` is on PATH. Its clients
// speak the Centrifuge protocol in JSON, and the publisher uses its HTTP API, which does not say how many clients it delivers to.
// Its server is configured by servers/centrifugo.json.
import { join } from "node:path";
import { CENTRIFUGE, type Target, TOPIC } from "./target";

const CONFIG = join(import.meta.dir, "servers/centrifugo.json");
const START = `exec centrifugo --config "$0" --http_server.address 127.0.0.1 --http_server.port "$PORT"`;

export const centrifugo: Target = {
  name: "centrifugo",
  title: "Centrifugo",
  program: {
    name: "centrifugo",
    install: "go install github.com/centrifugal/centrifugo/v6@v6.9.1",
  },
  isOptional: true,
  command: ["sh", "-c", START, CONFIG],
  env: {},
  wire: { ...CENTRIFUGE, after: [4, 48] },
  path: () => "/connection/websocket",
  publishRoute: {
    path: "/api/publish",
    headers: "X-API-Key: bench\r\n",
    body: (topic, message) => JSON.stringify({ channel: topic, data: message }),
  },
  countsPart: true,
};

/** Its unidirectional Server-Sent Events. A stream is open once it says that it is connected and to what it is subscribed. */
export const centrifugoStreams: Target = {
  ...centrifugo,
  name: "centrifugo-sse",
  title: "Centrifugo, Server-Sent Events",
  wire: {
    before: `data: {"channel":"${TOPIC}","pub":{"data":"`,
    after: [3, 48],
    openWithUpgrade: false,
    events: true,
    read: (text) => ({ opened: text.includes('data: {"connect":') }),
  },
  path: () => {
    const connect = JSON.stringify({ subs: { [TOPIC]: {} } });
    return `/connection/uni_sse?cf_connect=${encodeURIComponent(connect)}`;
  },
};
