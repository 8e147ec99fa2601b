// The server of the control: bare Bun.serve and native publish.
// Nothing may be added to it: what it costs is what Bun costs.
import { TOPIC } from "../target";

interface Publication {
  readonly topic: string;
  readonly message: string;
  readonly user_id?: number;
}

const server = Bun.serve<{ readonly user: string | null }>({
  hostname: "127.0.0.1",
  development: false,
  port: Number(process.env.PORT),
  routes: {
    "/health": new Response("ok"),
    "/ws": (request: Request) => {
      const at = request.url.indexOf("?user=");
      const user = at < 0 ? null : request.url.slice(at + 6);
      if (server.upgrade(request, { data: { user } })) return undefined;
      return new Response("This path needs a WebSocket upgrade.", { status: 426 });
    },
    "/publish": {
      POST: async (request: Request) => {
        const body = JSON.parse(await request.text()) as Publication;
        const topic = body.user_id === undefined ? body.topic : `u:${body.user_id}`;
        server.publish(topic, body.message, false);
        return Response.json({ delivered: server.subscriberCount(topic) });
      },
    },
  },
  websocket: {
    open(socket) {
      socket.subscribe(TOPIC);
      if (socket.data.user !== null) socket.subscribe(`u:${socket.data.user}`);
    },
    message() {},
  },
});
