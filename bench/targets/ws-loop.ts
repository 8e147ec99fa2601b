// The server that many people write first: node:http, `ws`, and a loop over the sockets of a topic.
// Its server is servers/ws-loop.mjs.
import { join } from "node:path";
import { NODE, PLAIN, type Target } from "./target";

export const wsLoop: Target = {
  name: "ws",
  title: "ws loop (Node)",
  program: NODE,
  command: ["node", join(import.meta.dir, "servers/ws-loop.mjs")],
  env: { NODE_ENV: "production" },
  wire: PLAIN,
  path: (user) => (user === undefined ? "/ws" : `/ws?user=${user}`),
};
