// The server of the `ws` target: sockets in a Map by topic and by user, and a loop that sends.
// It runs on Node.
import { WebSocketServer } from "ws";
import { publicationServer } from "./publications.mjs";

/** @type {Map<string, Set<import("ws").WebSocket>>} */
const topics = new Map();
/** @type {Map<string, Set<import("ws").WebSocket>>} */
const users = new Map();

function add(map, key, socket) {
  let sockets = map.get(key);
  if (sockets === undefined) {
    sockets = new Set();
    map.set(key, sockets);
  }
  sockets.add(socket);
}

function remove(map, key, socket) {
  const sockets = map.get(key);
  sockets?.delete(socket);
  if (sockets?.size === 0) map.delete(key);
}

const server = publicationServer(({ topic, message, user_id }) => {
  const sockets = user_id === undefined ? topics.get(topic) : users.get(String(user_id));
  if (sockets === undefined) return 0;
  for (const socket of sockets) socket.send(message);
  return sockets.size;
});

new WebSocketServer({ server }).on("connection", (socket, request) => {
  const user = new URL(request.url, "ws://localhost").searchParams.get("user");
  add(topics, "tech", socket);
  if (user !== null) add(users, user, socket);
  socket.on("error", () => {});
  socket.on("close", () => {
    remove(topics, "tech", socket);
    if (user !== null) remove(users, user, socket);
  });
});

server.listen(Number(process.env.PORT), "127.0.0.1");
