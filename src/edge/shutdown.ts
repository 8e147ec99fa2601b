// Closes connections at a shutdown: one by one in random order, spread over a window of time, so that their clients do not
// all reconnect in the same instant.
import type { Relay } from "../relay/relay";
import type { Connection } from "../relay/state/connection";

/** The pause between two steps is short enough to look continuous, and long enough to cost other processes nothing. */
const STEP_MS_MIN = 20;
const STEP_MS_MAX = 500;
const STEPS = 500;

/** The timers of a busy client are late: all have come back within as many times of what they wait. */
const RETURNS = 2;

/**
 * Closes every connection with 1001, evenly over `windowMs`, and at its end those that have not said who they are. Clients that come back
 * by the clock (`SessionProtocol.returnsAfterMs`) are not closed shortly before the end of a process, since they would come back shortly
 * after it, when perhaps nobody listens: they are closed early enough to be back here, where they wait for the end, or at the end.
 * Resolves when the last one has been sent its close. `random` gives numbers from 0 to 1. Cost: one step every 20 to 500 ms, about 500 of
 * them.
 */
export async function closeConnections(
  relay: Relay,
  windowMs: number,
  random: () => number,
): Promise<void> {
  const { connections } = relay;
  // Where this process only makes room, the next one listens already.
  const returnsMs = (connection: Connection) =>
    connections.isShuttingDown ? returnsAfterMs(connection) : 0;
  const all = shuffle([...connections.all()], random);
  const rest = all
    .map((connection, i) => ({
      connection,
      ...due(windowMs, returnsMs(connection), i / all.length),
    }))
    .sort((one, other) => other.atMs - one.atMs);
  const endMs = rest.reduce((latest, { backAtMs }) => Math.max(latest, backAtMs), 0);
  const stepMs = Math.min(STEP_MS_MAX, Math.max(STEP_MS_MIN, windowMs / STEPS));
  const begun = performance.now();
  for (;;) {
    const elapsedMs = performance.now() - begun;
    while ((rest.at(-1)?.atMs ?? Number.POSITIVE_INFINITY) <= elapsedMs) {
      const next = rest.pop();
      if (next !== undefined) connections.end(next.connection, "shutdown");
    }
    if (rest.length === 0 && elapsedMs >= endMs) break;
    await Bun.sleep(stepMs);
  }
  // Last, because some of them came during the shutdown to wait for its end; see Admission.admitTo.
  for (const connection of [...connections.unidentified()]) {
    connections.end(connection, "shutdown");
  }
}

function returnsAfterMs({ protocol }: Connection): number {
  return protocol.kind === "session" ? (protocol.returnsAfterMs ?? 0) : 0;
}

/** When to close the connection that has this share of the others before it, and by when its client is back in any case. */
function due(windowMs: number, returnsMs: number, share: number) {
  const overMs = windowMs - RETURNS * returnsMs;
  const atMs = overMs > 0 ? overMs * share : windowMs;
  return { atMs, backAtMs: overMs > 0 ? atMs + RETURNS * returnsMs : windowMs };
}

/** The Fisher-Yates shuffle: every order is equally likely. */
function shuffle<Item>(items: Item[], random: () => number): Item[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j] as Item, items[i] as Item];
  }
  return items;
}
