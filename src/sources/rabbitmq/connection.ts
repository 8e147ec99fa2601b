// The connection of a source to RabbitMQ.
import { type ChannelModel, connect } from "amqplib";
import { answered } from "../silence";
import { certificatesOf } from "../tls";
import type { RabbitmqOptions } from "./options";

const CONNECT_TIMEOUT_MS = 5_000;

/**
 * What amqplib waits for it may wait for in vain when the connection has ended at an unlucky moment, such as in the middle of the last
 * frame of a handshake.
 */
export const ANSWER_TIMEOUT_MS = 30_000;
const CLOSE_TIMEOUT_MS = 5_000;

/** In seconds. A server that is silent for twice as long counts as away. */
const HEARTBEAT_S = 10;

/** An address of digits, which a name for TLS must not be. */
const NUMERIC = /^(\d+\.){3}\d+$|^\[/;

/** Rejects with an Error that says why the server cannot be reached or refuses, without a secret. */
export async function connected(options: RabbitmqOptions): Promise<ChannelModel> {
  const url = new URL(options.url);
  if (!url.searchParams.has("heartbeat")) url.searchParams.set("heartbeat", String(HEARTBEAT_S));
  const connecting = connect(url.href, {
    timeout: CONNECT_TIMEOUT_MS,
    ...(!NUMERIC.test(url.hostname) && { servername: url.hostname }),
    ...certificatesOf(options),
  });
  const connection = await answered(connecting, 2 * CONNECT_TIMEOUT_MS).catch((error: Error) => {
    // What the server says of it is not in the error.
    if (!error.message.includes("ConnectionOpenOk")) throw error;
    throw new Error("the server has no such vhost, or this user may not use it");
  });
  // Its errors are followed by the end of the connection, which says the same.
  connection.on("error", () => {});
  return connection;
}

/** Ends it. Never rejects. */
export async function ended(connection: ChannelModel): Promise<void> {
  await answered(connection.close(), CLOSE_TIMEOUT_MS).catch(() => {});
}
