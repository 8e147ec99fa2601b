// What many people write first: Node's `ws` and a loop over the sockets of a topic.
// Its server is ws-loop.server.mjs.
import { join } from "node:path";
import { PLAIN, type Target } from "./target";

export const wsLoop: Target = {
  name: "ws",
  title: "ws loop (Node)",
  about: "node:http and ws 8, sockets in a Map by topic and by user, send() in a loop",
  command: ["node", join(import.meta.dir, "ws-loop.server.mjs")],
  env: { NODE_ENV: "production" },
  wire: PLAIN,
  path: (user) => (user === undefined ? "/ws" : `/ws?user=${user}`),
};
