// A load process of the scale run: takes requests over IPC, and reports its client's state several times a second.
import { setPriority } from "node:os";
import { HANDSHAKE_TIMEOUT_MS, ReconnectingClient } from "./client";
import type { ScaleRequest } from "./messages";

const REPORT_MS = 200;
const NICENESS = 15;

const client = new ReconnectingClient();

async function handle(request: ScaleRequest): Promise<void> {
  if (request.kind === "register") await client.register(request.range);
  else client.connect();
}

process.on("message", (request: ScaleRequest) => {
  handle(request).catch((error: Error) => client.addFault(error.message));
});
setInterval(() => process.send?.(client.takeState()), REPORT_MS);
setInterval(() => client.retryLate(), HANDSHAKE_TIMEOUT_MS / 4);
// As low as the relay's workers, which would starve if as many load processes had priority over them.
setPriority(NICENESS);
// Ctrl-C reaches every process of the terminal; the bench itself decides when this one ends.
process.on("SIGINT", () => {});
