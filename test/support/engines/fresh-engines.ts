// Makes engines for tests, each with a new store.
import { ENGINES } from "../../../src/engines";
import type { EngineOptions } from "../../../src/engines/options";
import type { Engine } from "../../../src/relay/contracts/engine";
import type { Publication } from "../../../src/relay/contracts/publication";
import { Folder } from "../machine/folder";
import { engineOptions, NOBODY } from "../relay/simulation";
import { RedisServer } from "./redis-server";

interface Fresh {
  /** The text of BATON_ENGINE for it. */
  at(store: string): string | Promise<string>;
}

/** By the name that chooses them; `store` is a fresh folder. */
const FRESH: Readonly<Record<string, Fresh>> = {
  memory: { at: () => "memory" },
  sqlite: { at: (store) => `sqlite:${store}/baton.db` },
  // Each engine has a prefix of its own there.
  redis: { at: async () => (await RedisServer.shared()).url },
};

/** The text of BATON_ENGINE for a fresh engine of this name. */
export async function engineSetting(name: string, store: string): Promise<string> {
  const fresh = FRESH[name];
  if (fresh === undefined) throw new Error(`no engine ${name}`);
  return fresh.at(store);
}

/** Makes engines by name, each with a fresh store, and closes them all. */
export class Engines implements AsyncDisposable {
  readonly #made: [Engine, Folder][] = [];

  async make(name: string, options: EngineOptions): Promise<Engine> {
    const folder = new Folder();
    const row = ENGINES[name];
    if (row === undefined) throw new Error(`no engine ${name}`);
    const engine = await row.make(options, await engineSetting(name, folder.path));
    this.#made.push([engine, folder]);
    return engine;
  }

  /** Makes one that has started and follows the topics a and b. `delivered` has what it delivers, each to 7 connections. */
  async started(name: string): Promise<{ engine: Engine; delivered: Publication[] }> {
    const engine = await this.make(name, engineOptions());
    const delivered: Publication[] = [];
    await engine.start({
      ...NOBODY,
      deliver: (publication) => {
        delivered.push(publication);
        return 7;
      },
    });
    for (const topic of ["a", "b"]) engine.follow(topic);
    return { engine, delivered };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [engine, folder] of this.#made.splice(0)) {
      await engine.close();
      folder[Symbol.dispose]();
    }
  }
}
