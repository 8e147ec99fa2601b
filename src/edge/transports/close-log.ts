// What the log says when a connection has closed, for sockets and streams alike.
import { type Log, sanitized, shortId } from "../../log";
import type { Connection } from "../../relay/state/connection";

/** Logs the close of a connection. There is no code when the client has ended its stream. */
export function logClose(
  log: Log,
  connection: Connection,
  { code, reason }: { readonly code?: number; readonly reason?: string } = {},
): void {
  if (code === connection.protocol.closes.slow_consumer.code) {
    logSlowConsumer(log, connection);
  } else if (log.isLevelEnabled("debug")) {
    const text = reason === undefined ? undefined : sanitized(reason);
    log.debug({ ...fieldsOf(connection), code, reason: text }, "connection closed");
  }
}

export function logSlowConsumer(log: Log, connection: Connection): void {
  log.warn(fieldsOf(connection), "slow consumer closed");
}

function fieldsOf({ id, user }: Connection) {
  return { connection: shortId(id), user: sanitized(user) };
}
