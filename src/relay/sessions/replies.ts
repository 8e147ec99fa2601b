// Replies to the commands of sessions, each with the id that the client gave its command.
import type { Reply, SessionCommand } from "../contracts/commands";
import type { Refusal } from "../contracts/errors";
import type { Tally } from "../contracts/tally";
import type { Frame } from "../contracts/transport";
import { type Connection, chargeForFrame } from "../state/connection";
import type { Connections } from "../state/connections";

/** A command that gets a reply. */
type AnsweredCommand = Extract<SessionCommand, { readonly id: number }>;

export class Replies {
  readonly #connections: Connections;
  readonly #tally: Tally;

  constructor(connections: Connections, tally: Tally) {
    this.#connections = connections;
    this.#tally = tally;
  }

  reply(connection: Connection, reply: Reply): void {
    this.send(connection, encodeReply(connection, reply));
  }

  /** Sends a frame that the client has asked for; an empty one is none. */
  send(connection: Connection, frame: Frame): void {
    if (frame.length === 0) return;
    chargeForFrame(connection, frame.length);
    this.#connections.send(connection, frame);
  }

  refuse(connection: Connection, command: AnsweredCommand, refused: Refusal): void {
    const refusal = this.#tally.refused(refused);
    const { id, kind: of } = command;
    const topic = "topic" in command ? command.topic : undefined;
    // Clients of an authority do not try again on the same connection; but for what they publish they do not wait.
    const isAwaited = connection.authority !== undefined && of !== "publish";
    if (refusal.code === "engine_unavailable" && isAwaited) {
      this.#connections.end(connection, "position_lost");
    } else if (command.kind === "refused") {
      this.reply(connection, { kind: "refused", id, refusal, of: command.of, topic });
    } else this.reply(connection, { kind: "refused", id, refusal, of, topic });
  }
}

export function encodeReply({ protocol }: Connection, reply: Reply): Frame {
  return protocol.kind === "session" ? protocol.encodeReply(reply) : "";
}
