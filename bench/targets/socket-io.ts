// socket.io 4 over its WebSocket transport. The load client speaks engine.io 4 packets in text frames itself;
// https://socket.io/docs/v4/socket-io-protocol/ says what the digits mean. Its server is servers/socket-io.mjs.
import { join } from "node:path";
import { NODE, type Target } from "./target";

export const socketIo: Target = {
  name: "socket.io",
  title: "socket.io (Node)",
  program: NODE,
  command: ["node", join(import.meta.dir, "servers/socket-io.mjs")],
  env: { NODE_ENV: "production" },
  wire: {
    before: '42["message","',
    after: [2, 2],
    openWithUpgrade: false,
    read: (text) => {
      if (text.startsWith("0{")) return { answer: "40" };
      if (text.startsWith("40{")) return { opened: true };
      if (text === "2") return { answer: "3" };
      throw new Error(`an unexpected packet: ${text.slice(0, 100)}`);
    },
  },
  path: (user) => {
    const query = user === undefined ? "" : `&user=${user}`;
    return `/socket.io/?EIO=4&transport=websocket${query}`;
  },
};
