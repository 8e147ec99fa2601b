// In place of a relay: a WebSocket server that answers as its script says, for what a relay never does.
import type { ServerWebSocket } from "bun";

interface Script {
  /** Called for each connection, with its number from 1 on. */
  readonly open?: (socket: ServerWebSocket<number>) => void;
  readonly frame?: (socket: ServerWebSocket<number>, frame: string) => void;
}

export class ScriptedRelay implements AsyncDisposable {
  connections = 0;
  /** The frames of all clients. */
  readonly frames: string[] = [];
  readonly #server: Bun.Server<number>;
  #pong: (() => void) | undefined;
  readonly #sockets = new Set<ServerWebSocket<number>>();

  constructor(script: Script) {
    this.#server = Bun.serve<number>({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, server) => {
        if (server.upgrade(request, { data: ++this.connections })) return undefined;
        return new Response(null, { status: 426 });
      },
      websocket: {
        open: (socket) => {
          this.#sockets.add(socket);
          script.open?.(socket);
        },
        pong: () => this.#pong?.(),
        close: (socket) => void this.#sockets.delete(socket),
        message: (socket, frame) => {
          this.frames.push(String(frame));
          script.frame?.(socket, String(frame));
        },
      },
    });
  }

  readonly address = (): string => `ws://127.0.0.1:${this.#server.port}/ws/x`;

  /** Resolves when the only client has received everything that was sent to it. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#pong = resolve;
      for (const socket of this.#sockets) socket.ping();
    });
  }

  /** Cuts all connections. */
  dropAll(): void {
    for (const socket of this.#sockets) socket.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

/** Answers a command as a relay does that keeps no history. */
export function reply(socket: ServerWebSocket<number>, frame: string): void {
  const topics: string[] = JSON.parse(frame).topics;
  socket.send(JSON.stringify({ topics: Object.fromEntries(topics.map((topic) => [topic, {}])) }));
}
