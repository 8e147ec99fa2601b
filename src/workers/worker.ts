// A worker: a node whose supervisor has the engine and decides when it ends.

import type { Log } from "../log";
import { type RunningNode, sharesEngine, start } from "../node";
import type { Settings } from "../settings/definitions";
import { EngineClient } from "./engine-client";
import type { FromServer, FromWorker } from "./messages";
import { Pipe } from "./pipe";

/** How long the last messages to the supervisor may take. */
const FLUSH_MS = 1_000;

/** What a supervisor tells its worker beside what the engine has to say. */
export type Order = { readonly order: "stop listening" | "retire" | "shutdown" | "answer" };

/** What a worker tells its supervisor beside the engine's calls. */
export type Report = { readonly ready: string };

/** How a worker reaches its supervisor: node:child_process's way, which Bun gives a child started with `ipc`. */
export interface Supervised {
  send(text: string): void;
  onText(hear: (text: string) => void): void;
  onLost(gone: () => void): void;
}

/**
 * Runs a worker until it is told to end or is orphaned: its supervisor has gone. Rejects with what Bun throws when the
 * address cannot be had. `machine` is the supervisor's name for all its workers.
 */
export async function work(
  settings: Settings,
  log: Log,
  supervisor: Supervised,
  machine?: string,
): Promise<"ended" | "orphaned"> {
  const ended = Promise.withResolvers<"ended" | "orphaned">();
  let running: RunningNode | undefined;
  const channel = new Pipe({
    send: (text) => supervisor.send(text),
    receive: (message) => {
      const told = message as FromServer | Order;
      if ("order" in told) {
        if (told.order === "answer") return;
        if (told.order === "stop listening") return running?.stopListening();
        const ending = told.order === "retire" ? running?.retire() : running?.shutdown();
        Promise.resolve(ending).then(() => ended.resolve("ended"), ended.reject);
      } else engine.heard(told);
    },
    now: () => performance.now(),
    failed: (error) => log.error({ err: error }, "a message of the supervisor was not obeyed"),
  });
  const engine = new EngineClient({
    send: (message: FromWorker) => channel.push(message),
    isFull: () => channel.isFull,
    now: () => performance.now(),
  });
  supervisor.onText((text) => channel.heard(text));
  supervisor.onLost(() => {
    log.error("the supervisor has gone: this worker ends");
    engine.close();
    Promise.resolve(running?.stop()).then(() => ended.resolve("orphaned"), ended.reject);
  });
  running = await start(settings, log, {
    shared: true,
    ...(sharesEngine(settings) ? { engine } : machine !== undefined && { machine }),
  });
  channel.push({ ready: running.url } satisfies Report);
  const end = await ended.promise;
  channel.flush();
  // What the end of connections has to say of their registrations.
  const patience = performance.now() + FLUSH_MS;
  while (channel.unreadSize > 0 && performance.now() < patience) await Bun.sleep(10);
  return end;
}
