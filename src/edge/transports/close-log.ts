// What the log says and the relay counts when a connection has closed, for sockets and streams alike.
import { type Log, shortId } from "../../log";
import type { Tally } from "../../relay/contracts/tally";
import type { Connection } from "../../relay/state/connection";
import { sanitized } from "../../relay/text/visible";

/** Where a close is noted. */
interface CloseNotes {
  readonly log: Log;
  readonly tally: Tally;
}

/** Notes the close of a connection. There is no code when the client has ended its stream. */
export function noteClose(
  { log, tally }: CloseNotes,
  connection: Connection,
  { code, reason }: { readonly code?: number; readonly reason?: string } = {},
): void {
  tally.connectionClosed(connection.protocol, code);
  if (code === connection.protocol.closes.slow_consumer.code) {
    noteSlow({ log, tally }, connection);
  } else if (log.isLevelEnabled("debug")) {
    const text = reason === undefined ? undefined : sanitized(reason);
    log.debug({ ...fieldsOf(connection), code, reason: text }, "connection closed");
  }
}

/** Notes that the runtime has closed a slow consumer's socket, with 1006. */
export function noteCutOff(notes: CloseNotes, connection: Connection): void {
  notes.tally.connectionClosed(connection.protocol, 1006);
  noteSlow(notes, connection);
}

function noteSlow({ log, tally }: CloseNotes, connection: Connection): void {
  tally.slowConsumers++;
  log.warn(fieldsOf(connection), "slow consumer closed");
}

function fieldsOf({ id, user, address }: Connection) {
  const fields = { connection: shortId(id), user: sanitized(user) };
  return address === "" ? fields : { ...fields, address };
}
