// A worker's engine without a process: the two ends of the pipe between a worker and its supervisor, which has the real one.
import { ENGINES } from "../../../src/engines";
import type { EngineOptions } from "../../../src/engines/options";
import type { Engine, EngineEvents, LocalEngine } from "../../../src/relay/contracts/engine";
import { EngineClient } from "../../../src/workers/engine-client";
import { EngineServer } from "../../../src/workers/engine-server";
import type { FromEngine, ToEngine } from "../../../src/workers/messages";
import { Pipe } from "../../../src/workers/pipe";
import type { Engines } from "./fresh-engines";

const onFault = (error: unknown) => {
  throw error;
};

/** The engine as a worker sees it; `engine` is started by this. */
async function pipedEngine(engine: LocalEngine, events: EngineEvents): Promise<Engine> {
  const server = new EngineServer(engine);
  await engine.start(server.events);
  const down: Pipe = new Pipe({
    send: (text) => up.receive(text),
    onMessage: (message) => server.receive(link, message as ToEngine),
    onFault,
    onAcknowledged: () => server.onProgress(),
  });
  const up: Pipe = new Pipe({
    send: (text) => down.receive(text),
    onMessage: (message) => client.receive(message as FromEngine),
    onFault,
  });
  const client = new EngineClient({
    send: (message) => up.push(message),
    isFull: () => up.isFull,
    now: () => 0,
  });
  const link = server.connect("worker", down);
  await client.start(events);
  return client;
}

/** Engines by their names; a worker's end has the engine of its supervisor behind it. */
export const ENGINES_AND_ENDS = [
  ...Object.keys(ENGINES).map((name) => ({ name, title: `the ${name} engine`, isPiped: false })),
  { name: "memory", title: "a worker's end of the memory engine", isPiped: true },
  { name: "sqlite", title: "a worker's end of the sqlite engine", isPiped: true },
];

/** Starts one of them with a fresh store. */
export async function startFresh(
  engines: Engines,
  { name, isPiped }: { readonly name: string; readonly isPiped: boolean },
  options: EngineOptions,
  events: EngineEvents,
): Promise<Engine> {
  const made = await engines.make(name, options);
  if (isPiped) return pipedEngine(made as LocalEngine, events);
  await made.start(events);
  return made;
}
