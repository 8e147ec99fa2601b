// The table of engines. Each is loaded when it is made: a process needs one, or none if it is a worker. test/contract/engine.test.ts runs
// for each of its rows.
import type { Engine, LocalEngine } from "../relay/contracts/engine";
import type { EngineOptions } from "./options";

interface Row<Made extends Engine> {
  /** What a BATON_ENGINE that chooses this engine begins with, up to the first colon. */
  readonly schemes: readonly string[];
  /** `setting` is BATON_ENGINE, such as sqlite:baton.db. */
  readonly make: (options: EngineOptions, setting: string) => Promise<Made>;
}

/**
 * `inProcess` says whether the engine lives in the process that makes it. Workers then share one through their supervisor.
 * Otherwise each worker has its own, and they meet in the store.
 */
export type EngineRow =
  | (Row<LocalEngine> & { readonly inProcess: true })
  | (Row<Engine> & { readonly inProcess: false });

export const ENGINES: Readonly<Record<string, EngineRow>> = {
  memory: {
    schemes: ["memory"],
    inProcess: true,
    async make(options) {
      const { MemoryEngine } = await import("./memory/engine");
      return new MemoryEngine(options);
    },
  },
  redis: {
    schemes: ["redis", "rediss"],
    inProcess: false,
    async make(options, setting) {
      const { RedisEngine } = await import("./redis/engine");
      return new RedisEngine(options, setting);
    },
  },
  sqlite: {
    schemes: ["sqlite"],
    inProcess: true,
    async make(options, setting) {
      const { SqliteEngine } = await import("./sqlite/engine");
      return new SqliteEngine(options, setting.slice("sqlite:".length));
    },
  },
};

/** The engine that a BATON_ENGINE chooses; undefined when there is none for its scheme. */
export function engineRow(setting: string): EngineRow | undefined {
  const [scheme = ""] = setting.split(":", 1);
  return Object.values(ENGINES).find(({ schemes }) => schemes.includes(scheme));
}
