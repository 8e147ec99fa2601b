// The server of the control in waves: the control, with one rule added that makes its sends fuller. A wave is what is published
// in one turn of the loop. The time that it took, up to the end of the turn in which Bun sent it, is how long the next wave waits,
// so that what is published meanwhile joins it. A publication that comes later than that leaves at once.
import { TOPIC } from "../target";

interface Publication {
  readonly topic: string;
  readonly message: string;
}

const WAIT_MAX_MS = 25;

let waiting: Publication[] = [];
/** The next wave leaves no earlier than this. */
let nextAt = 0;
/** When the wave that is leaving began. */
let begunAt: number | undefined;

function publish(publication: Publication): void {
  if (begunAt !== undefined) {
    server.publish(publication.topic, publication.message, false);
  } else if (waiting.push(publication) === 1) {
    const waitMs = nextAt - performance.now();
    if (waitMs > 0) setTimeout(beginWave, waitMs);
    else beginWave();
  }
}

function beginWave(): void {
  begunAt = performance.now();
  for (const { topic, message } of waiting) server.publish(topic, message, false);
  waiting = [];
  setImmediate(endWave);
}

/** The loop sends what is published in a turn at its end; this runs after that. */
function endWave(): void {
  const now = performance.now();
  nextAt = now + Math.min(WAIT_MAX_MS, now - (begunAt ?? now));
  begunAt = undefined;
}

const server: Bun.Server<undefined> = Bun.serve({
  hostname: "127.0.0.1",
  development: false,
  port: Number(process.env.PORT),
  routes: {
    "/health": new Response("ok"),
    "/ws": (request: Request) =>
      server.upgrade(request)
        ? undefined
        : new Response("This path needs a WebSocket upgrade.", { status: 426 }),
    "/publish": {
      POST: async (request: Request) => {
        const publication = JSON.parse(await request.text()) as Publication;
        publish(publication);
        return Response.json({ delivered: server.subscriberCount(publication.topic) });
      },
    },
  },
  websocket: {
    open(socket) {
      socket.subscribe(TOPIC);
    },
    message() {},
  },
});
