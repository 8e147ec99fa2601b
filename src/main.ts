// Wires settings, engine, relay and server together, and ends the process: the only process.exit.
import { getRandomValues } from "node:crypto";
import { version } from "../package.json";
import { readSettings, type Settings } from "./config";
import { isLoopback } from "./consistency";
import { createLog, type Log, shown } from "./edge/log";
import { serve } from "./edge/server";
import { closeConnections } from "./edge/shutdown";
import { Sockets } from "./edge/sockets";
import { Streams } from "./edge/streams";
import { tokenCheck } from "./edge/tokens";
import { ENGINES } from "./engines";
import type { EngineOptions } from "./engines/options";
import { PROTOCOLS, SESSION_PROTOCOLS, SOCKET_FORMATS, STREAM_FORMATS } from "./protocols";
import { errorOf, infoJson, publicationJson } from "./protocols/centrifuge";
import { Authority } from "./relay/authority";
import type { Outlet } from "./relay/connection";
import type { Engine, EngineEvents } from "./relay/engine";
import { Relay } from "./relay/relay";
import { TopicRules } from "./relay/rules";
import { SettingError } from "./setting";

/**
 * Ctrl-C reaches a process twice when `bun run` started it: from the terminal, and forwarded by `bun run`.
 * On a terminal, signals this close together are one.
 */
const SAME_KEY_MS = 100;

/** How long the last close frames may take to leave, beyond the shutdown window. */
const FLUSH_MS = 1_000;

/** How often first topics are let in that wait for a client which keeps silent. */
const RELEASE_MS = 50;

/** The engine did not start; its message is the one line that the user sees. */
class EngineFailure extends Error {}

/** A running relay, as the process and the tests hold it. */
export interface Running {
  /** Where it listens, such as http://127.0.0.1:8000. */
  readonly url: string;
  readonly relay: Relay;
  /** Refuses what is new, ends connections over the shutdown window, then stops listening. */
  shutdown(): Promise<void>;
  /** Stops at once. */
  stop(): Promise<void>;
}

/** Starts a relay in this process. Throws EngineFailure, and what Bun throws when the address cannot be had. */
export async function start(settings: Settings, log: Log): Promise<Running> {
  const { historySize, historyTtlMs } = settings;
  const now = () => performance.now();
  const rules = new TopicRules({ historySize, historyTtlMs }, settings.topicRules);
  const tokens = await tokenCheck(settings);
  const isOpen = tokens === undefined && settings.apiKeys.length === 0;
  const engine = engineOf(settings.engine, {
    rules,
    historyBytes: settings.historyBytes,
    idempotencyMs: settings.idempotencyMs,
    idempotencyMax: settings.idempotencyMax,
    registrationTtlMs: settings.registrationTtlMs,
    registrationsMax: settings.registrationsMax,
    userConnectionsMax: settings.userConnectionsMax,
    now,
    newEpoch,
  });
  const sockets = new Sockets(settings, log);
  const { backpressureBytes, origins } = settings;
  const streams = new Streams({ backpressureBytes, origins, log });
  const streamed = new Set(
    PROTOCOLS.filter(({ carrier }) => carrier === "stream").map(({ name }) => name),
  );
  const outlet: Outlet = {
    publish(native, frame, except) {
      const isStreamed = streamed.has(native.slice(0, native.indexOf(":")));
      (isStreamed ? streams : sockets).publish(native, frame, except);
    },
  };
  const node = newId();
  const relay = new Relay({
    limits: settings,
    defaultTopics: [...new Set(settings.defaultTopics)],
    engine,
    outlet,
    now,
    newId,
    random: Math.random,
    later: setImmediate,
    authority: new Authority({ tokens, isOpen, anonymous: settings.anonymous, rules }),
    rules,
    personalTopics: settings.personalTopics,
    version,
    node,
  });
  await startEngine(engine, {
    deliver: (publication) => relay.deliver(publication),
    lost: () => {},
    heard: () => {},
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
    log,
  }).catch(async (error: unknown) => {
    await engine.close();
    throw error;
  });

  const { pingMs, pongMs, registrationTtlMs } = settings;
  const tickMs = Math.min(1_000, Math.max(10, Math.min(pingMs, pongMs, registrationTtlMs) / 4));
  const ticking = setInterval(() => relay.sweep(), tickMs);
  const releasing = setInterval(() => relay.release(), RELEASE_MS);

  const stop = async (): Promise<void> => {
    relay.beginShutdown();
    clearInterval(ticking);
    clearInterval(releasing);
    await engine.close();
    await server.stop(true);
  };
  return {
    url: `http://${server.hostname?.includes(":") ? `[${server.hostname}]` : server.hostname}:${server.port}`,
    relay,
    stop,
    async shutdown() {
      relay.beginShutdown();
      await closeConnections(relay, settings.shutdownMs, Math.random);
      const patience = performance.now() + FLUSH_MS;
      while (server.pendingWebSockets + server.pendingRequests > 0) {
        if (performance.now() > patience) break;
        await Bun.sleep(10);
      }
      await stop();
    },
  };
}

/** The engine of BATON_ENGINE. */
function engineOf(at: string, options: EngineOptions): Engine {
  const scheme = at.split(":")[0] as string;
  const create = ENGINES[scheme];
  if (create !== undefined) return create(options, at);
  throw new EngineFailure(`BATON_ENGINE: this Baton has no engine ${scheme}.`);
}

/** Throws EngineFailure where the engine cannot start. */
async function startEngine(engine: Engine, events: EngineEvents): Promise<void> {
  try {
    await engine.start(events);
  } catch (error) {
    throw new EngineFailure(error instanceof Error ? error.message : String(error));
  }
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

/** One line, where the user looks for it, and the exit code of a start that failed. */
function fail(line: string): never {
  process.stderr.write(`baton: ${line.replaceAll("\n", " ")}\n`);
  process.exit(1);
}

function startFailure(error: unknown, settings: Settings): string {
  if (error instanceof EngineFailure) return error.message;
  const code = (error as { code?: unknown } | null)?.code;
  const address = `${settings.host}:${settings.port}`;
  if (code === "EADDRINUSE") {
    return `${address} is in use, perhaps by another Baton. Stop it, or set PORT to another port.`;
  }
  if (code === "EACCES") return `${address} is not allowed to this user. Set PORT to 1024 or more.`;
  return `cannot listen on ${address}: ${error instanceof Error ? error.message : String(error)}`;
}

function onSignals(running: Running, settings: Settings, log: Log): void {
  let first: number | undefined;
  const onSignal = (signal: string): void => {
    const now = performance.now();
    if (first !== undefined) {
      if (process.stdin.isTTY && now - first < SAME_KEY_MS) return;
      process.exit(1);
    }
    first = now;
    const { connections } = running.relay.counts;
    log.info(
      `${signal}: shutting down, ${connections} connections to close over ${settings.shutdownMs} ms. A second signal ends at once.`,
    );
    running.shutdown().then(
      () => {
        log.info("shut down");
        process.exit(0);
      },
      (error: unknown) => {
        log.fatal({ err: error }, "the shutdown failed");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}

async function main(): Promise<void> {
  let settings: Settings;
  try {
    settings = readSettings(process.env);
  } catch (error) {
    if (error instanceof SettingError) return fail(error.message);
    throw error;
  }
  const log = createLog(settings.logLevel);
  // A fault in one place must not end the service of all: log it and go on.
  process.on("uncaughtException", (error) => log.error({ err: error }, "uncaught exception"));
  process.on("unhandledRejection", (error) => log.error({ err: error }, "unhandled rejection"));

  const running = await start(settings, log).catch((error: unknown) =>
    fail(startFailure(error, settings)),
  );
  onSignals(running, settings, log);
  for (const variable of settings.unknownVariables) {
    log.warn({ variable: shown(variable) }, "this variable is no setting of Baton; see the README");
  }
  if (!isLoopback(settings.host) && settings.apiKeys.length === 0) {
    log.warn("BATON_INSECURE=1: anyone who reaches this address can publish");
  }
  for (const key of settings.apiKeys) {
    if (key.length < 16) log.warn("an API key has fewer than 16 characters: easy to guess");
  }
  log.info(
    `Baton listens on ${running.url}. Try: curl ${running.url}/register -H 'content-type: application/json' -d '{"user_id":1}', connect to the url it gives, and see ${running.url}/openapi for the rest.`,
  );
}

if (import.meta.main) await main();
