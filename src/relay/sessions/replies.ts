// Replies to the commands of sessions, each under the id that the client gave.
import type { Reply } from "../contracts/commands";
import type { Refusal } from "../contracts/errors";
import type { Delivery } from "../publishing/delivery";
import type { Connection } from "../state/connection";

export class Replies {
  readonly #delivery: Delivery;

  constructor(delivery: Delivery) {
    this.#delivery = delivery;
  }

  reply(connection: Connection, reply: Reply): void {
    this.#delivery.send(connection, encodeReply(connection, reply));
  }

  refuse(connection: Connection, id: number, refusal: Refusal): void {
    this.reply(connection, { kind: "refused", id, refusal });
  }
}

/** The frame of a reply. */
export function encodeReply({ protocol }: Connection, reply: Reply): string {
  return protocol.session?.encodeReply(reply) ?? "";
}
