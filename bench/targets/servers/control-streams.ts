// The server of the controls for streams: bare Bun.serve with a list of open responses. Its argument says how often a stream is
// written: "publication", once for each; or "turn", once in a turn of the loop with all that was published in it.
import { TOPIC } from "../target";

const isOncePerTurn = process.argv[2] === "turn";
const encoder = new TextEncoder();
const streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
let waiting = "";

function write(text: string): void {
  const bytes = encoder.encode(text);
  for (const stream of streams) stream.enqueue(bytes);
}

function writeWaiting(): void {
  const text = waiting;
  waiting = "";
  write(text);
}

function publish(message: string): void {
  const event = `data: ${message}\n\n`;
  if (!isOncePerTurn) {
    write(event);
    return;
  }
  if (waiting === "") setImmediate(writeWaiting);
  waiting += event;
}

function openStream(): Response {
  let opened: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start(stream) {
      opened = stream;
      streams.add(stream);
      // Bun sends the headers with the first bytes.
      stream.enqueue(encoder.encode(":\n\n"));
    },
    cancel() {
      streams.delete(opened);
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

Bun.serve({
  hostname: "127.0.0.1",
  development: false,
  idleTimeout: 0,
  port: Number(process.env.PORT),
  routes: {
    "/health": new Response("ok"),
    "/sse": openStream,
    "/publish": {
      POST: async (request: Request) => {
        const { topic, message } = JSON.parse(await request.text());
        if (topic !== TOPIC) return Response.json({ delivered: 0 });
        publish(message);
        return Response.json({ delivered: streams.size });
      },
    },
  },
});
