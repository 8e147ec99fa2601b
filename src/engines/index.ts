// The list of engines. The contract suite runs for each row of it.
import type { Engine } from "../relay/contracts/engine";
import { MemoryEngine } from "./memory/engine";
import type { EngineOptions } from "./options";
import { RedisEngine } from "./redis/engine";
import { SqliteEngine } from "./sqlite/engine";

/** By the scheme of the setting that chooses them; `at` is the whole of it, such as sqlite:baton.db. */
export const ENGINES: Readonly<Record<string, (options: EngineOptions, at: string) => Engine>> = {
  memory: (options) => new MemoryEngine(options),
  redis: (options, at) => new RedisEngine(options, at),
  sqlite: (options, at) => new SqliteEngine(options, at.slice("sqlite:".length)),
};
