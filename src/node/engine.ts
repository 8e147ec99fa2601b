// The engine of a node, as BATON_ENGINE names it: how it is made, and whether all workers share it.
import { newEpoch } from "../edge/access/random-ids";
import { type EngineRow, engineRow } from "../engines";
import type { EngineOptions } from "../engines/options";
import type { Log } from "../log";
import { withPusherRules } from "../protocols/pusher/topic-rules";
import type { Engine, EngineEvents, LocalEngine } from "../relay/contracts/engine";
import { TopicRules } from "../relay/contracts/topic-rules";
import type { Settings } from "../settings/definitions";
import { asksOf } from "../settings/hooks/proxy";

/** The engine did not start. The message is the one line that the user sees. */
export class EngineFailure extends Error {}

/** Whose engine it is. */
interface Owner {
  readonly rules: TopicRules;
  /** The name of the node; "" where it is that of all workers. */
  readonly node: string;
  readonly machine?: string | undefined;
}

/** The engine that a node is given or, where there is none, one of its own. Throws EngineFailure. */
export async function engineOf(
  settings: Settings,
  log: Log,
  { engine, ...owner }: Owner & { readonly engine?: Engine },
): Promise<Engine> {
  return engine ?? rowOf(settings).make(engineOptions(settings, log, owner), settings.engine);
}

/** The engine that all workers share, which their supervisor runs; undefined where each worker has its own. */
export async function sharedEngine(
  settings: Settings,
  rules: TopicRules,
  log: Log,
): Promise<LocalEngine | undefined> {
  const row = rowOf(settings);
  if (!row.inProcess) return undefined;
  return row.make(engineOptions(settings, log, { rules, node: "" }), settings.engine);
}

/** Whether all workers share one engine. */
export function sharesEngine(settings: Settings): boolean {
  return rowOf(settings).inProcess;
}

/** Throws EngineFailure where the engine cannot start. */
export async function startEngine(engine: Engine, events: EngineEvents): Promise<void> {
  try {
    await engine.start(events);
  } catch (error) {
    throw new EngineFailure(error instanceof Error ? error.message : String(error));
  }
}

/** Throws EngineFailure where there is no such engine; the setting may have a password in it. */
function rowOf({ engine }: Settings): EngineRow {
  const row = engineRow(engine);
  if (row !== undefined) return row;
  const [scheme] = engine.split(":", 1);
  throw new EngineFailure(`BATON_ENGINE: this Baton has no engine ${scheme}.`);
}

function engineOptions(
  settings: Settings,
  log: Log,
  { rules, node, machine }: Owner,
): EngineOptions {
  return {
    rules,
    historyBytes: settings.historyBytes,
    storeBytes: settings.storeBytes,
    idempotencyMs: settings.idempotencyMs,
    idempotencyMax: settings.idempotencyMax,
    registrationTtlMs: settings.registrationTtlMs,
    registrationsMax: settings.registrationsMax,
    userConnectionsMax: settings.userConnectionsMax,
    connectionsMax: settings.connectionsMax,
    addressConnectionsMax: settings.addressConnectionsMax,
    node,
    machine,
    prefix: settings.redisPrefix,
    warn: (sentence) => log.warn(sentence),
    now: () => performance.now(),
    newEpoch,
  };
}

export function topicRulesOf(settings: Settings): TopicRules {
  const { historySize, historyTtlMs, topicRules, knownPrefixesOnly, pusherApps } = settings;
  const rules = pusherApps.length === 0 ? topicRules : withPusherRules(topicRules, { historySize });
  const others = { historySize, historyTtlMs, ...asksOf(settings) };
  return new TopicRules(others, rules, knownPrefixesOnly ? "named" : "all");
}
