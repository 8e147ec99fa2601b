// The list of engines. The contract suite runs for each row of it.
import type { Engine } from "../relay/engine";
import { MemoryEngine } from "./memory";
import type { EngineOptions } from "./options";

/** By the scheme of the setting, which they are given whole. */
export const ENGINES: Readonly<Record<string, (options: EngineOptions, at: string) => Engine>> = {
  memory: (options) => new MemoryEngine(options),
};
