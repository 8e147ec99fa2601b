// Closes connections at a shutdown: one by one in random order, spread over a window of time, so that their clients do not
// all reconnect in the same instant.
import type { Relay } from "../relay/relay";

/** The pause between two steps is short enough to look continuous, and long enough to cost other processes nothing. */
const STEP_MS_MIN = 20;
const STEP_MS_MAX = 500;
const STEPS = 500;

/**
 * Closes every connection with 1001, evenly over `windowMs`, and at its end those that have not said who they are. Resolves when the last one has been sent its close. `random`
 * gives numbers from 0 to 1. Cost: one step every 20 to 500 ms, about 500 of them.
 */
export async function closeConnections(
  relay: Relay,
  windowMs: number,
  random: () => number,
): Promise<void> {
  const rest = shuffle([...relay.connections.all()], random);
  const total = rest.length;
  const stepMs = Math.min(STEP_MS_MAX, Math.max(STEP_MS_MIN, windowMs / STEPS));
  const begun = performance.now();
  while (rest.length > 0) {
    const elapsed = performance.now() - begun;
    const due = elapsed >= windowMs ? total : Math.ceil((total * elapsed) / windowMs);
    while (rest.length > total - due) {
      const connection = rest.pop();
      if (connection !== undefined) relay.connections.end(connection, "shutdown");
    }
    if (rest.length > 0) await Bun.sleep(stepMs);
  }
  // Last, because some of them came during the shutdown to wait for its end; see Admission.admitTo.
  for (const connection of [...relay.connections.unidentified()]) {
    relay.connections.end(connection, "shutdown");
  }
}

/** The Fisher-Yates shuffle: every order is equally likely. */
function shuffle<Item>(items: Item[], random: () => number): Item[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j] as Item, items[i] as Item];
  }
  return items;
}
