// Engines of each kind with what can happen to them, for tests of what must hold whatever happens.
import { copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import type { EngineOptions } from "../../../src/engines/options";
import type { Engine, EngineEvents } from "../../../src/relay/contracts/engine";
import { engineOptions, NOBODY } from "../relay/simulation";
import { RedisNode } from "./redis-node";
import { RedisServer } from "./redis-server";
import { SqliteStore } from "./sqlite-store";

/** What can happen to a store that is reached over a network; nothing happens to one that is not. */
export type Disturbance = "calls cut" | "subscriptions cut" | "scripts forgotten" | "restarted";

export interface World extends AsyncDisposable {
  /** How many nodes share the store. */
  readonly nodes: number;
  /** The engine of a node. */
  engine(node: number): Engine;
  /** All nodes die, though calls may be under way, and others have what they have kept. What is kept in memory stays there. */
  crash(): Promise<void>;
  disturb(what: Disturbance): Promise<void>;
  /** The clock of the engines, in ms, where the test moves it. */
  now: number;
}

/** What the engine of a node calls. It is asked again after each crash. */
type EventsOf = (node: number) => EngineEvents;

type StartWorld = (options?: Partial<EngineOptions>, eventsOf?: EventsOf) => Promise<World>;

const unheard = () => NOBODY;
const nothing = async () => {};

const memory: StartWorld = async (options = {}, eventsOf = unheard) => {
  const world = {
    nodes: 1,
    engine: () => engine,
    crash: async () => engine.start(eventsOf(0)),
    disturb: nothing,
    now: 0,
    [Symbol.asyncDispose]: nothing,
  };
  const engine = new MemoryEngine(engineOptions({ now: () => world.now, ...options }));
  engine.start(eventsOf(0));
  return world;
};

/** A crash leaves the file as it is at that moment, with the log beside it: both go on under another name. */
const sqlite: StartWorld = async (options = {}, eventsOf = unheard) => {
  const store = new SqliteStore();
  const start = () => store.start(options, eventsOf(0));
  let engine = await start();
  let crashes = 0;
  return {
    nodes: 1,
    engine: () => engine,
    async crash() {
      const next = join(store.folder, `${++crashes}.db`);
      for (const end of ["", "-wal"]) {
        if (existsSync(store.path + end)) copyFileSync(store.path + end, next + end);
      }
      store.path = next;
      engine = await start();
    },
    disturb: nothing,
    get now() {
      return store.now;
    },
    set now(now) {
      store.timeOfDay += now - store.now;
      store.now = now;
    },
    [Symbol.asyncDispose]: async () => store[Symbol.dispose](),
  };
};

/** Two nodes over these servers. */
function redisOver(servers: () => Promise<readonly RedisServer[]>): StartWorld {
  return async (options = {}, eventsOf = unheard) => {
    const all = await servers();
    const urls = all.map(({ url }) => url).join(",");
    const prefix = crypto.randomUUID();
    const dead: RedisNode[] = [];
    const start = () =>
      Promise.all([0, 1].map((i) => RedisNode.start(urls, { prefix, ...options }, eventsOf(i))));
    let nodes = await start();
    const onEach = (...command: [string, ...string[]]) =>
      Promise.all(all.map((server) => server.command(...command)));
    return {
      nodes: nodes.length,
      now: 0,
      engine: (node) => (nodes[node] as RedisNode).engine,
      async crash() {
        for (const node of nodes) node.stall();
        dead.push(...nodes);
        nodes = await start();
      },
      async disturb(what) {
        if (what === "calls cut") await onEach("CLIENT", "KILL", "TYPE", "normal");
        else if (what === "subscriptions cut") await onEach("CLIENT", "KILL", "TYPE", "pubsub");
        else if (what === "scripts forgotten") await onEach("SCRIPT", "FLUSH");
        else {
          for (const server of all) {
            await server.kill();
            await server.run();
          }
        }
      },
      async [Symbol.asyncDispose]() {
        for (const node of [...dead, ...nodes]) await node[Symbol.asyncDispose]();
      },
    };
  };
}

/** Two servers, so that what has several topics is on both. They may not be disturbed: other tests use them too. */
const sharedServers = () => Promise.all([RedisServer.shared(0), RedisServer.shared(1)]);

/** By the names of the engines. */
export const WORLDS = { memory, sqlite, redis: redisOver(sharedServers) } as const;

/** A world over a server of the test's own, which may be disturbed. */
export function redisWorld(server: RedisServer): StartWorld {
  return redisOver(async () => [server]);
}
