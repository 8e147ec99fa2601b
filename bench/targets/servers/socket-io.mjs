// The server of the socket.io target: a socket.io room for each topic and for each user.
// It runs on Node.
import { Server } from "socket.io";
import { publicationServer } from "./publications.mjs";

const server = publicationServer(({ topic, message, user_id }) => {
  const room = user_id === undefined ? topic : `u:${user_id}`;
  io.to(room).emit("message", message);
  return io.sockets.adapter.rooms.get(room)?.size ?? 0;
});

const io = new Server(server, { transports: ["websocket"], serveClient: false });

io.on("connection", (socket) => {
  const user = socket.handshake.query.user;
  socket.join("tech");
  if (user !== undefined) socket.join(`u:${user}`);
});

server.listen(Number(process.env.PORT), "127.0.0.1");
