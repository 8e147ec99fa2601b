// Replies to the commands of sessions, each with the id that the client gave its command.
import type { Reply } from "../contracts/commands";
import type { Refusal } from "../contracts/errors";
import type { Tally } from "../contracts/tally";
import type { Frame } from "../contracts/transport";
import { type Connection, chargeForFrame } from "../state/connection";
import type { Connections } from "../state/connections";

export class Replies {
  readonly #connections: Connections;
  readonly #tally: Tally;

  constructor(connections: Connections, tally: Tally) {
    this.#connections = connections;
    this.#tally = tally;
  }

  reply(connection: Connection, reply: Reply): void {
    const frame = encodeReply(connection, reply);
    chargeForFrame(connection, frame.length);
    this.#connections.send(connection, frame);
  }

  refuse(connection: Connection, id: number, refusal: Refusal): void {
    this.reply(connection, { kind: "refused", id, refusal: this.#tally.refused(refusal) });
  }
}

export function encodeReply({ protocol }: Connection, reply: Reply): Frame {
  return protocol.kind === "session" ? protocol.encodeReply(reply) : "";
}
