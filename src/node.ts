// A node: engine, relay and server in one process, wired together.
import { getRandomValues } from "node:crypto";
import { version } from "../package.json";
import { tokenVerifier } from "./edge/access/tokens";
import { serve } from "./edge/server";
import { closeConnections } from "./edge/shutdown";
import { Sockets } from "./edge/transports/sockets";
import { Streams } from "./edge/transports/streams";
import { type EngineRow, engineRow } from "./engines";
import type { EngineOptions } from "./engines/options";
import type { Log } from "./log";
import { SESSION_PROTOCOLS, SOCKET_FORMATS, STREAM_FORMATS } from "./protocols";
import { errorOf, infoJson, publicationJson } from "./protocols/centrifuge/json";
import type { Engine, EngineEvents, LocalEngine } from "./relay/contracts/engine";
import { TopicRules } from "./relay/contracts/topic-rules";
import { Relay } from "./relay/relay";
import type { Settings } from "./settings/definitions";

/** How long the last close frames may take to leave, beyond the shutdown window. */
const FLUSH_MS = 1_000;

/** The engine did not start; its message is the one line that the user sees. */
export class EngineFailure extends Error {}

/** What a worker has from its supervisor. */
export interface NodeParts {
  readonly engine?: Engine;
  /** The name of the machine, where no supervisor counts for its nodes. */
  readonly machine?: string;
  /** Whether other processes listen on the same port. */
  readonly shared?: boolean;
}

/** A running relay, as the process and the tests hold it. */
export interface RunningNode {
  /** Where it listens, such as http://127.0.0.1:8000. */
  readonly url: string;
  readonly relay: Relay;
  /** Refuses what is new, ends connections over the shutdown window, then stops listening. */
  shutdown(): Promise<void>;
  /** Takes no new connections. For one of several that share a port. */
  stopListening(): void;
  /** After that, the end: it serves the requests that still come on open connections until it is reached. */
  retire(): Promise<void>;
  /** Stops at once. */
  stop(): Promise<void>;
}

/** Starts a relay in this process. Throws EngineFailure, and what Bun throws when the address cannot be had. */
export async function start(
  settings: Settings,
  log: Log,
  { engine: given, machine, shared = false }: NodeParts = {},
): Promise<RunningNode> {
  const now = () => performance.now();
  const rules = rulesOf(settings);
  const tokens = await tokenVerifier(settings, log);
  const isOpen = tokens === undefined && settings.apiKeys.length === 0;
  const node = newId();
  const engine =
    given ?? rowOf(settings).make(engineOptions(settings, log, { node, machine }), settings.engine);
  const sockets = new Sockets(settings, log);
  const { backpressureBytes } = settings;
  const streams = new Streams({ backpressureBytes, log });
  const relay = new Relay({
    limits: { ...settings, connectionsMax: settings.processConnectionsMax },
    defaultTopics: [...new Set(settings.defaultTopics)],
    engine,
    transports: { socket: sockets, stream: streams },
    now,
    newId,
    random: Math.random,
    later: setImmediate,
    after: (ms, work) => {
      const timer = setTimeout(work, ms);
      return () => clearTimeout(timer);
    },
    access: { tokens, isOpen, anonymous: settings.anonymous },
    rules,
    personalTopics: settings.personalTopics,
    version,
    node,
  });
  await startEngine(engine, {
    deliver: (publication) => relay.delivery.deliver(publication),
    historyReset: (topic) => relay.historyReset(topic),
    registrationRevoked: (id, term) => relay.admission.registrationRevoked(id, term),
    messageReceived: (message) => relay.cluster.receive(message),
  });
  const server = await Promise.try(serve, {
    settings,
    relay,
    sockets,
    socketFormats: SOCKET_FORMATS,
    streams,
    streamFormats: STREAM_FORMATS,
    sessionProtocols: SESSION_PROTOCOLS,
    apiFormat: { errorOf, publicationJson, infoJson },
    node,
    shared,
    log,
  }).catch(async (error: unknown) => {
    await engine.close();
    throw error;
  });

  const { pingMs, pongMs, registrationTtlMs } = settings;
  const tickMs = Math.min(1_000, Math.max(10, Math.min(pingMs, pongMs, registrationTtlMs) / 4));
  const ticking = setInterval(() => relay.sweep(), tickMs);

  const stop = async (): Promise<void> => {
    relay.beginShutdown();
    clearInterval(ticking);
    await engine.close();
    await server.stop(true);
  };
  /** Connections, spread over the window, and what is still to be sent. */
  const closeAll = async (): Promise<void> => {
    await closeConnections(relay, settings.shutdownMs, Math.random);
    const patience = performance.now() + FLUSH_MS;
    while (server.pendingWebSockets + server.pendingRequests > 0) {
      if (performance.now() > patience) break;
      await Bun.sleep(10);
    }
  };
  return {
    url: `http://${server.hostname?.includes(":") ? `[${server.hostname}]` : server.hostname}:${server.port}`,
    relay,
    stop,
    async shutdown() {
      relay.beginShutdown();
      await closeAll();
      await stop();
    },
    stopListening() {
      server.stop(false);
    },
    async retire() {
      await closeAll();
      await stop();
    },
  };
}

/** 128 random bits: an id opens its registration. */
function newId(): string {
  return Buffer.from(getRandomValues(new Uint8Array(16))).toString("hex");
}

/** 8 random letters: 2^45 of them, so that no life of a history is taken for another. */
function newEpoch(): string {
  const letters = getRandomValues(new Uint8Array(8)).map((byte) => 0x61 + (byte % 26));
  return String.fromCharCode(...letters);
}

/** The engine that all workers share, to be had by their supervisor; undefined where each worker has its own. */
export function sharedEngine(settings: Settings, log: Log): LocalEngine | undefined {
  const row = rowOf(settings);
  if (!row.inProcess) return undefined;
  return row.make(engineOptions(settings, log, { node: "" }), settings.engine);
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
  { node, machine }: { node: string; machine?: string | undefined },
): EngineOptions {
  return {
    rules: rulesOf(settings),
    historyBytes: settings.historyBytes,
    idempotencyMs: settings.idempotencyMs,
    idempotencyMax: settings.idempotencyMax,
    registrationTtlMs: settings.registrationTtlMs,
    registrationsMax: settings.registrationsMax,
    userConnectionsMax: settings.userConnectionsMax,
    connectionsMax: settings.connectionsMax,
    node,
    machine,
    prefix: settings.redisPrefix,
    warn: (sentence) => log.warn(sentence),
    now: () => performance.now(),
    newEpoch,
  };
}

function rulesOf(settings: Settings): TopicRules {
  const { historySize, historyTtlMs, topicRules, knownPrefixesOnly } = settings;
  return new TopicRules({ historySize, historyTtlMs }, topicRules, knownPrefixesOnly);
}
