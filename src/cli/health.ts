// `baton health`: for the health checks of containers, which know 0 and 1 only.
import { CommandFailure } from "./failure";
import { print } from "./output";
import type { RemoteRelay } from "./remote-relay";

/** Prints "ok". Throws CommandFailure with exit code 1 where the relay is not ready, or not there. */
export async function health(relay: RemoteRelay): Promise<void> {
  const answer = await relay.ask("GET", "/health/ready").catch((error: CommandFailure) => {
    throw new CommandFailure(error.message);
  });
  if (answer.status === 503) {
    throw new CommandFailure(
      `The relay at ${relay.url} is not ready: it is starting or shutting down, or cannot reach its engine (503).`,
    );
  }
  if (answer.status !== 200) throw new CommandFailure(relay.strangeText(answer.status));
  print("ok");
}
