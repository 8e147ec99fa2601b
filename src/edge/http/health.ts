// Whether the relay is alive, and whether it can serve. An orchestrator that is told that a process is not alive kills it, so
// neither a shutdown nor an engine that is away may say so.
import { type Refusal, starting } from "../../relay/contracts/errors";
import type { Relay } from "../../relay/relay";
import { TEXT } from "./refusal";

export const LIVE_PATH = "/health/live";

/** How long the answer about a relay that is starting waits. Balancers wait a few seconds for it. */
const STARTING_ANSWER_MS = 1_000;

const STARTING_STEP_MS = 10;

/** The answer of a process that is alive, and of one that can serve. */
export function ok(): Response {
  return new Response("ok", TEXT);
}

/**
 * Why the relay cannot serve, if it cannot. While workers start, one of them learns before another that all of them listen: the
 * answer of one that has not waits for a moment, so that nobody hears "starting" after somebody has heard "ok".
 */
export async function unavailable(relay: Relay): Promise<Refusal | undefined> {
  const deadline = performance.now() + STARTING_ANSWER_MS;
  while (relay.isStarting) {
    if (performance.now() > deadline) return starting();
    await Bun.sleep(STARTING_STEP_MS);
  }
  return relay.unavailable();
}
