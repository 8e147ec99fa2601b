// One load process: takes orders from the bench over IPC and does them with its swarm.
// Ends when the bench is gone, and ends the guarded servers with it.
import type { FromBench, FromLoad, Order } from "./orders";
import { Swarm } from "./swarm";

/** How often the bench hears of arrivals: often enough to pace by, too seldom to cost anything. */
const PROGRESS_MS = 5;

const swarm = new Swarm();
const guarded = new Set<number>();
let told = -1;
let timer: Timer | undefined;

function tell(message: FromLoad): void {
  process.send?.(message);
}

function showProgress(): void {
  if (swarm.received === told) return;
  told = swarm.received;
  tell({ kind: "progress", received: swarm.received });
}

async function obey(order: Order): Promise<void> {
  switch (order.kind) {
    case "prepare":
      return swarm.prepare(order.crowd);
    case "connect":
      return swarm.connect();
    case "watch":
      told = -1;
      timer ??= setInterval(showProgress, PROGRESS_MS);
      return swarm.watch(order.lanes, order.latency, order.links);
    case "drop":
      return swarm.drop();
    case "close":
      return swarm.close();
    case "guard":
      guarded.add(order.pid);
      return;
    case "report":
      // The phase is over: an idle load process shall not disturb what others measure.
      clearInterval(timer);
      timer = undefined;
      return;
  }
}

process.on("message", async ({ number, order }: FromBench) => {
  try {
    await obey(order);
    tell({ kind: "done", number, report: swarm.report() });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    tell({ kind: "failed", number, message });
  }
});

process.on("disconnect", () => {
  for (const pid of guarded) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended already.
    }
  }
  process.exit(0);
});

// A Ctrl-C reaches every process of the terminal; the bench itself decides when this one ends.
process.on("SIGINT", () => {});
