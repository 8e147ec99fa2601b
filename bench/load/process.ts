// One load process: takes requests from the bench over IPC and carries them out with its load client.
import { LoadClient } from "./client";
import type { FromLoadProcess, LoadRequest, NumberedRequest } from "./requests";

/** How often the bench is told what arrived: often enough to pace the publisher, too seldom to cost anything. */
const PROGRESS_MS = 5;

const client = new LoadClient();
let reported = -1;
let timer: Timer | undefined;

function send(message: FromLoadProcess): void {
  process.send?.(message);
}

function sendProgress(): void {
  if (client.received === reported) return;
  reported = client.received;
  send({ kind: "progress", received: client.received });
}

async function handle(request: LoadRequest): Promise<void> {
  switch (request.kind) {
    case "prepare":
      return client.prepare(request.range);
    case "connect":
      return client.connect();
    case "startPhase":
      reported = -1;
      timer ??= setInterval(sendProgress, PROGRESS_MS);
      return client.startPhase(request.setup);
    case "disconnect":
      return client.disconnect();
    case "report":
      // The phase is over: an idle load process must not disturb the measurement of other targets.
      clearInterval(timer);
      timer = undefined;
      return;
  }
}

process.on("message", async ({ number, request }: NumberedRequest) => {
  try {
    await handle(request);
    send({ kind: "done", number, report: client.report() });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    send({ kind: "failed", number, message });
  }
});

// Ctrl-C reaches every process of the terminal; the bench itself decides when this one ends.
process.on("SIGINT", () => {});
