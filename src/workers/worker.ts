// A worker: one node among several that share a port. Its supervisor has the engine, unless every node reaches the engine's
// store by itself, and orders the worker to end.
import type { Log } from "../log";
import { type RunningNode, sharesEngine, start } from "../node";
import type { Settings } from "../settings/definitions";
import { EngineClient } from "./engine-client";
import type { FromSupervisor, FromWorker, Order } from "./messages";
import { Pipe } from "./pipe";
import type { ParentProcess, WorkerArguments } from "./spawn";

/** How long the supervisor may take to acknowledge the worker's last messages. */
const FLUSH_MS = 1_000;

const FLUSH_CHECK_MS = 10;

/**
 * Runs a worker until it has ended as ordered, or is orphaned: its supervisor has exited. Rejects with what Bun throws when
 * the address cannot be had.
 */
export async function runWorker(
  settings: Settings,
  log: Log,
  supervisor: ParentProcess,
  { machine, start: how }: WorkerArguments,
): Promise<"ended" | "orphaned"> {
  const ended = Promise.withResolvers<"ended" | "orphaned">();
  let node: RunningNode | undefined;
  const pipe = new Pipe({
    send: (text) => supervisor.send(text),
    onMessage: (received) => {
      const message = received as FromSupervisor;
      if ("order" in message) obey(message);
      else if (!("ping" in message)) engine.receive(message);
    },
    onFault: (error) =>
      log.error({ err: error }, "a message of the supervisor could not be obeyed"),
  });
  let isStarting = how === "first";
  const obey = ({ order }: Order): void => {
    if (order === "serve") {
      isStarting = false;
      return;
    }
    if (order === "stop listening") {
      node?.stopListening();
      return;
    }
    const ending = order === "retire" ? node?.retire() : node?.shutdown();
    Promise.resolve(ending).then(() => ended.resolve("ended"), ended.reject);
  };
  const send = (message: FromWorker): void => pipe.push(message);
  const engine = new EngineClient({
    send,
    isFull: () => pipe.isFull,
    now: () => performance.now(),
  });
  supervisor.onText((text) => pipe.receive(text));
  supervisor.onExit(() => {
    log.error("the supervisor has exited, so this worker ends");
    engine.close();
    Promise.resolve(node?.stop()).then(() => ended.resolve("orphaned"), ended.reject);
  });
  node = await start(settings, log, {
    shared: true,
    isStarting: () => isStarting,
    ...(sharesEngine(settings) ? { engine } : machine !== undefined && { machine }),
  });
  send({ listensAt: node.url });
  const end = await ended.promise;
  // The supervisor must learn which registrations the closed connections have released.
  pipe.flush();
  const deadline = performance.now() + FLUSH_MS;
  while (pipe.unacknowledgedSize > 0 && performance.now() < deadline) {
    await Bun.sleep(FLUSH_CHECK_MS);
  }
  return end;
}
