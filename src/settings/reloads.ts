// Settings that are read again while the relay runs, on SIGHUP. Whoever can take new ones registers here: all of them check first,
// and only if nobody refuses is anything put in force, so that the relay never runs with a part of what it was given.
import type { Maybe } from "../relay/contracts/maybe";
import { SETTINGS, type Settings, type SettingValues } from "./definitions";
import { PROXY } from "./hooks/proxy";
import { SettingError } from "./kinds";
import { needsTokens } from "./tokens";

/** The settings that a relay takes up when it reads them again, on SIGHUP. The others wait for a restart. */
export const RELOADED: ReadonlySet<keyof SettingValues> = new Set([
  "apiKeys",
  "pusherApps",
  "webhookSecrets",
  "tlsCert",
  "tlsKey",
  "tokenSecret",
  "tokenPublicKey",
  "tokenJwksUrl",
  "tokenAudience",
  "tokenIssuer",
  "topicsFile",
  "sourcesFile",
  "knownPrefixesOnly",
  "historySize",
  "historyTtlMs",
  ...(Object.keys(PROXY) as (keyof typeof PROXY)[]),
]);

/** Checks new settings, and gives back what puts them in force, which must not fail. Throws when they cannot be used. */
type Prepare = (settings: Settings) => Maybe<() => void>;

export class Reloads {
  #settings: Settings;
  readonly #prepares: Prepare[] = [];

  /** `settings` are those with which the relay starts. */
  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** From now on this is asked before new settings are put in force. */
  register(prepare: Prepare): void {
    this.#prepares.push(prepare);
  }

  /**
   * Puts new settings in force, all of them or none. Resolves with the variables that have changed too and wait for a restart. Rejects
   * with an Error, whose message is for the log, and changes nothing then. To be called again only when it has settled.
   */
  async take(settings: Settings): Promise<readonly string[]> {
    const before = this.#settings;
    checkGuards(before, settings);
    const puts: (() => void)[] = [];
    for (const prepare of this.#prepares) puts.push(await prepare(settings));
    for (const put of puts) put();
    this.#settings = settings;
    return changedSettings(before, settings)
      .filter((name) => !RELOADED.has(name))
      .map((name) => SETTINGS[name].variable);
  }
}

/**
 * What may be called at any time. After `start` has settled, and whenever `run` does not run, it runs once for all calls that have come
 * by then: with workers a run takes seconds, and a program that sends a signal too often must not have it go on for minutes. `run`
 * must not reject.
 */
export function inTurn(start: Promise<unknown>, run: () => Promise<void>): () => void {
  let isWaiting = false;
  let last = start.then(
    () => {},
    () => {},
  );
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    last = last.then(() => {
      isWaiting = false;
      return run();
    });
  };
}

/** The settings that have changed, by the names that the code uses. */
export function changedSettings(before: Settings, after: Settings): (keyof SettingValues)[] {
  const names = Object.keys(SETTINGS) as (keyof SettingValues)[];
  return names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
}

/** What guards a relay, by the words of checkGuards, where it is there. */
const GUARDS: Readonly<Record<string, (settings: Settings) => boolean>> = {
  BATON_API_KEYS: ({ apiKeys }) => apiKeys.length > 0,
  TLS: ({ certificate }) => certificate !== undefined,
  "The key for tokens": needsTokens,
  BATON_PROXY_CONNECT: ({ proxyConnect }) => proxyConnect !== "",
  // They close topics, which nobody is taken out of, and have routes, which are made at the start.
  BATON_PUSHER_APPS: ({ pusherApps }) => pusherApps.length > 0,
};

/** Throws SettingError where a guard comes or goes: clients that are connected were let in by what was there, or by its absence. */
export function checkGuards(before: Settings, after: Settings): void {
  for (const [what, isSet] of Object.entries(GUARDS)) {
    const was = isSet(before);
    if (was === isSet(after)) continue;
    throw new SettingError(
      `${what} can be replaced while the relay runs, but not ${was ? "removed" : "added"}: restart it.`,
    );
  }
}

/** The same text for all settings between which checkGuards finds no difference. */
export function guardsOf(settings: Settings): string {
  return Object.values(GUARDS)
    .map((isSet) => Number(isSet(settings)))
    .join("");
}
