// Nodes of one relay that have groups and nothing else, over an engine of each kind: what they are told, and their deaths.
import { MemoryEngine } from "../../../src/engines/memory/engine";
import type { EngineOptions } from "../../../src/engines/options";
import { SqliteEngine } from "../../../src/engines/sqlite/engine";
import type { EngineEvents, Groups, LocalEngine } from "../../../src/relay/contracts/engine";
import { Folder } from "../machine/folder";
import { engineOptions, NOBODY } from "../relay/simulation";
import { RedisNode } from "./redis-node";
import { RedisServer } from "./redis-server";

/** What a node is told. */
type Told = Pick<EngineEvents, "groupChanged" | "groupsUnsure">;

export interface GroupNodes extends AsyncDisposable {
  /** Starts another node. */
  join(told: Told): Promise<Groups>;
  /** The node ends without a word, and the others learn of it. */
  kill(groups: Groups): Promise<void>;
}

/** By the names of the engines. */
export const GROUP_NODES: Readonly<Record<string, () => Promise<GroupNodes>>> = {
  memory: async () => localNodes((options) => new MemoryEngine(options)),
  sqlite: async () => {
    const folder = new Folder();
    return localNodes((options) => new SqliteEngine(options, `${folder.path}/baton.db`), folder);
  },
  redis: async () => redisNodes(await RedisServer.shared()),
};

async function localNodes(
  make: (options: EngineOptions) => LocalEngine,
  folder?: Folder,
): Promise<GroupNodes> {
  const engine = make(engineOptions());
  const nodes = new Map<Groups, string>();
  await engine.start(NOBODY);
  let names = 0;
  return {
    async join(told) {
      const name = `node${++names}`;
      const groups = engine.groupsOf(name, told);
      nodes.set(groups, name);
      return groups;
    },
    async kill(groups) {
      const name = nodes.get(groups) ?? "";
      nodes.delete(groups);
      engine.releaseAll(name);
    },
    async [Symbol.asyncDispose]() {
      await engine.close();
      folder?.[Symbol.dispose]();
    },
  };
}

function redisNodes(server: RedisServer): GroupNodes {
  const prefix = crypto.randomUUID();
  const nodes = new Map<Groups, RedisNode>();
  return {
    async join(told) {
      const node = await RedisNode.start(server.url, { prefix }, told);
      nodes.set(node.engine.groups, node);
      return node.engine.groups;
    },
    async kill(groups) {
      const node = nodes.get(groups);
      nodes.delete(groups);
      node?.stall();
      await server.command("DEL", `${prefix}:place:${node?.name}.1`);
    },
    async [Symbol.asyncDispose]() {
      for (const node of nodes.values()) await node[Symbol.asyncDispose]();
    },
  };
}
