// A node: engine, relay and server in one process, wired together.
import type { SupervisorUsage, WayOutFigures } from "./console/node-figures";
import { ApiKeys } from "./edge/access/keys";
import { KeyLimits } from "./edge/access/limits/key-limits";
import { newId } from "./edge/access/random-ids";
import { Proxies } from "./edge/hooks/proxy/proxies";
import { OpenRequests } from "./edge/http/open-requests";
import { Figures } from "./edge/operator/figures";
import { WebPush } from "./edge/push/web-push";
import { PusherApps } from "./edge/pusher/apps";
import { SubscriptionCounts } from "./edge/pusher/subscription-counts";
import { type NodeServer, type ServerOptions, serve } from "./edge/server";
import { closeConnections } from "./edge/shutdown";
import { Sockets } from "./edge/transports/sockets";
import { Streams } from "./edge/transports/streams";
import { Webhooks } from "./edge/webhooks";
import { type Log, throttledLog } from "./log";
import { MeteredEngine } from "./metrics/metered-engine";
import { metricsOptions, ProcessMetrics } from "./metrics/process-metrics";
import { engineOf, startEngine, topicRulesOf } from "./node/engine";
import { FileShortage } from "./node/file-shortage";
import { pusherFormat, SESSION_PROTOCOLS, SOCKET_FORMATS, STREAM_FORMATS } from "./protocols";
import { errorOf } from "./protocols/centrifuge/codes";
import { infoJson, publicationJson } from "./protocols/centrifuge/json";
import { wireOf } from "./protocols/centrifuge/wires";
import { CLOSED_PREFIXES } from "./protocols/pusher/channels";
import { withOwnEvents } from "./protocols/pusher/event-names";
import { SWEEP_MS_MAX } from "./relay/connecting/heartbeat";
import type { Engine } from "./relay/contracts/engine";
import type { Access, CheckDeclared, RelayOptions } from "./relay/contracts/options";
import { Tally } from "./relay/contracts/tally";
import type { TopicRules } from "./relay/contracts/topic-rules";
import type { Transport } from "./relay/contracts/transport";
import { Relay } from "./relay/relay";
import type { Settings } from "./settings/definitions";
import { openFiles } from "./settings/files/open-files";
import { changedSettings, Reloads } from "./settings/reloads";
import { needsTokens } from "./settings/tokens";
import { Sources } from "./sources/sources";
import { version } from "./version";

/** How long the last close frames may take to leave, after the shutdown window. */
const FLUSH_MS = 1_000;

/** The server of an app that Baton is a part of. */
interface Host {
  /** What the paths begin with that are Baton's. */
  readonly prefix: string;
  readonly isTls: boolean;
  /** Begins to serve what the options say. */
  readonly serve: (options: ServerOptions) => NodeServer;
}

/** What a worker gets from its supervisor, and the library has of an app. */
interface NodeParts {
  readonly engine?: Engine;
  /** The name of the machine, for workers that each have an engine of their own. */
  readonly machine?: string;
  /** Whether other processes listen on the same port. */
  readonly shared?: boolean;
  /** Whether some of them do not listen yet. */
  readonly isStarting?: () => boolean;
  /** Where an app of somebody else's listens, in place of the node. */
  readonly host?: Host;
  /** Where topics are declared: refuses publications that are not as they say. */
  readonly checkDeclared?: CheckDeclared | undefined;
  /** Resolves with the metrics of all processes, where this is one of several. Rejects with EngineUnavailable. */
  readonly allMetrics?: () => Promise<string>;
  /** What the supervisor has said last of itself. */
  readonly supervisorUsage?: () => SupervisorUsage | undefined;
}

/** Starts a node in this process. Throws EngineFailure, and what Bun throws when it cannot listen on the address. */
export async function start(
  settings: Settings,
  log: Log,
  parts: NodeParts = {},
): Promise<RunningNode> {
  const { shared = false, host, allMetrics, supervisorUsage } = parts;
  const { prefix = "", isTls = settings.certificate !== undefined } = host ?? {};
  const access = await accessOf(settings, log);
  const apiKeys = new ApiKeys(settings.apiKeys, () => new KeyLimits(settings));
  const pusherApps = new PusherApps(settings.pusherApps, settings);
  const pusher = { apps: pusherApps, format: pusherFormat(settings) };
  const rules = topicRulesOf(settings);
  const proxies = new Proxies({ settings, wireOf, log });
  const node = newId();
  const engine = new MeteredEngine(await engineOf(settings, log, { ...parts, rules, node }));
  const webhooks = new Webhooks(settings, { engine, node, ...pusher, log });
  const webPush = WebPush.of({ settings, engine, rules, witness: webhooks.witness, node, log });
  const transports = transportsOf(settings, { isTls, proxies, log });
  const made = { access, rules, node, engine, ...transports, webhooks, proxies, webPush };
  const relay = new Relay(relayOptions(settings, log, { ...parts, ...made }));
  const sources = new Sources({ ...settings, relay, engine, node, log });
  const all = { ...made, relay, sources };
  const metrics = new ProcessMetrics({
    ...metricsOptions(settings, engine),
    node: { ...all, certificate: () => listeners.certificate },
    all: allMetrics,
  });
  await startEngine(engine, relay.events);
  if (!shared) metrics.listen(settings.metricsListen, log);
  const listeners = await Promise.try(host?.serve ?? serve, {
    settings,
    apiKeys,
    pusher,
    webPush,
    relay,
    ...transports,
    socketFormats: SOCKET_FORMATS,
    streamFormats: STREAM_FORMATS,
    sessionProtocols: SESSION_PROTOCOLS,
    apiFormat: { errorOf, publicationJson, infoJson },
    node,
    shared,
    prefix,
    isTls,
    openFiles,
    metrics: metrics.respond,
    sources: () => sources.statuses(),
    log,
  }).catch(async (error: unknown) => {
    await metrics.stop();
    await engine.close();
    throw error;
  });
  const waysOut = () => waysOutOf(all);
  const figures = new Figures({ relay, sources, waysOut, node, log, supervisorUsage });
  const counts = SubscriptionCounts.of({ ...all, settings, log });
  const reloads = reloadsOf({ ...all, listeners, apiKeys, pusherApps, settings, log });
  return new RunningNode(settings, { ...all, listeners, metrics, figures, counts, reloads, log });
}

/** What waits for others than clients, and what they will never get, where there are any. */
function waysOutOf({
  webhooks,
  webPush,
}: Pick<RunningParts, "webhooks" | "webPush">): WayOutFigures[] {
  const found: WayOutFigures[] = webhooks.lines.map(({ origin, waiting, givenUp, lateMs }) => ({
    name: `Webhook events for ${origin}`,
    waiting,
    givenUp,
    lateMs,
  }));
  if (webPush !== undefined) {
    const { waiting, outcomes } = webPush.figures;
    const givenUp = (outcomes.given_up ?? 0) + (outcomes.refused ?? 0);
    found.push({ name: "Pushes", waiting, givenUp });
  }
  return found;
}

/** What carries the frames of clients, and the requests that stay open. */
function transportsOf(
  settings: Settings,
  { isTls, proxies, log }: { isTls: boolean; proxies: Proxies; log: Log },
) {
  const { passedHeaders } = proxies;
  return {
    sockets: new Sockets({ ...settings, isTls, passedHeaders }, log),
    streams: new Streams({ ...settings, passedHeaders, log }),
    openRequests: new OpenRequests(settings),
  };
}

interface ReloadedParts {
  readonly listeners: NodeServer;
  readonly apiKeys: ApiKeys;
  readonly pusherApps: PusherApps;
  readonly webhooks: Webhooks;
  readonly access: { tokens: Access["tokens"] };
  readonly rules: TopicRules;
  readonly proxies: Proxies;
  readonly engine: Engine;
  readonly relay: Relay;
  readonly sources: Sources;
  readonly settings: Settings;
  readonly log: Log;
}

/** What takes new settings while the node runs. */
function reloadsOf(parts: ReloadedParts): Reloads {
  const reloads = new Reloads(parts.settings);
  const { listeners, access, rules, engine, relay, log } = parts;
  let known = parts.settings;
  reloads.register((next) => () => parts.apiKeys.replace(next.apiKeys));
  reloads.register((next) => () => parts.pusherApps.replace(next.pusherApps));
  reloads.register((next) => () => parts.webhooks.renewKeys(next));
  reloads.register((next) => () => parts.proxies.replace(next));
  reloads.register((next) => () => parts.sources.replace(next.sources));
  reloads.register(async (next) => {
    // The keys that were fetched from an address are kept unless something about tokens has changed.
    const haveChanged = changedSettings(known, next).some((name) => name.startsWith("token"));
    const tokens = haveChanged ? await tokensOf(next, log) : access.tokens;
    return () => {
      access.tokens = tokens;
      known = next;
    };
  });
  reloads.register((next) => {
    const nextRules = topicRulesOf(next);
    return () => {
      const before = rules.replace(nextRules);
      engine.rulesChanged?.(before);
      relay.rulesChanged();
    };
  });
  reloads.register(({ certificate }) => () => {
    if (certificate !== undefined) listeners.renew(certificate);
  });
  return reloads;
}

interface RunningParts {
  readonly relay: Relay;
  readonly engine: Engine;
  readonly listeners: NodeServer;
  readonly streams: Streams;
  readonly openRequests: OpenRequests;
  readonly metrics: ProcessMetrics;
  readonly figures: Figures;
  readonly counts: SubscriptionCounts | undefined;
  readonly webhooks: Webhooks;
  readonly webPush: WebPush | undefined;
  readonly sources: Sources;
  readonly reloads: Reloads;
  readonly log: Log;
}

/** A node as its process and the tests see it. */
export class RunningNode {
  /** Where it listens, such as http://127.0.0.1:8000. */
  readonly url: string;
  readonly relay: Relay;
  readonly openRequests: OpenRequests;
  readonly metrics: ProcessMetrics;
  /** What takes new settings while the node runs. */
  readonly reloads: Reloads;
  readonly #parts: RunningParts;
  readonly #shutdownMs: number;
  readonly #sweeping: Timer;

  constructor(settings: Settings, parts: RunningParts) {
    const { pingMs, pongMs, registrationTtlMs, shutdownMs, descriptors } = settings;
    const { relay, listeners, openRequests, metrics, reloads, sources, webPush, webhooks } = parts;
    const { log } = parts;
    this.#parts = parts;
    this.url = listeners.url;
    this.relay = relay;
    this.openRequests = openRequests;
    this.metrics = metrics;
    this.reloads = reloads;
    this.#shutdownMs = shutdownMs;
    sources.start();
    webPush?.start(relay.receipts);
    webhooks.start();
    relay.sweep();
    const shortestMs = Math.min(pingMs, pongMs, registrationTtlMs);
    const sweepMs = Math.min(SWEEP_MS_MAX, Math.max(10, shortestMs / 4));
    const shortage = new FileShortage(descriptors, log);
    this.#sweeping = setInterval(() => {
      relay.sweep();
      shortage.check();
    }, sweepMs);
  }

  /** Says that it is not ready, and goes on serving. */
  announceShutdown(): void {
    this.relay.announceShutdown();
  }

  /** Refuses what is new, ends connections over the shutdown window, then stops. */
  async shutdown(): Promise<void> {
    await this.#parts.sources.stop();
    this.relay.beginShutdown();
    await this.retire();
  }

  /** Takes no new connections. For one of several processes that share a port. */
  stopListening(): void {
    this.#parts.listeners.stopListening();
  }

  /** Ends connections over the shutdown window, and serves requests that still come on them, then stops. */
  async retire(): Promise<void> {
    await this.#parts.sources.stop();
    await closeConnections(this.relay, this.#shutdownMs, Math.random);
    this.#parts.streams.endReconnectAnswers();
    this.openRequests.endAll();
    const deadline = performance.now() + FLUSH_MS;
    while (this.#parts.listeners.isBusy) {
      if (performance.now() > deadline) break;
      await Bun.sleep(10);
    }
    await this.stop();
  }

  /** Stops at once. */
  async stop(): Promise<void> {
    await this.#parts.sources.stop();
    this.relay.beginShutdown();
    clearInterval(this.#sweeping);
    this.#parts.figures.stop();
    this.#parts.counts?.stop();
    await this.metrics.stop();
    await this.#parts.webPush?.stop();
    await this.#parts.webhooks.stop();
    await this.#parts.engine.close();
    this.relay.waves.flushAll();
    await this.#parts.listeners.stop();
  }
}

function relayOptions(
  settings: Settings,
  log: Log,
  parts: Pick<RelayOptions, "access" | "rules" | "node" | "engine"> &
    Pick<NodeParts, "isStarting" | "checkDeclared"> &
    Pick<RunningParts, "webhooks" | "webPush"> &
    Readonly<Record<"sockets" | "streams", Transport>> & { readonly proxies: Proxies },
): RelayOptions {
  return {
    ...parts,
    checkDeclared:
      settings.pusherApps.length === 0 ? parts.checkDeclared : withOwnEvents(parts.checkDeclared),
    witness: parts.webhooks.witness,
    questions: parts.proxies,
    pushes: parts.webPush?.outbox,
    transports: { socket: parts.sockets, stream: parts.streams },
    limits: { ...settings, connectionsMax: settings.processConnectionsMax },
    defaultTopics: [...new Set(settings.defaultTopics)],
    now: () => performance.now(),
    newId,
    random: Math.random,
    later: setImmediate,
    after: (ms, work) => {
      const timer = setTimeout(work, ms);
      return () => clearTimeout(timer);
    },
    tally: new Tally(Buffer.byteLength),
    personalTopics: settings.personalTopics,
    offlineMs: settings.offlineMs,
    version,
    onDeliveryFault: throttledLog(log, "a publication could not be delivered"),
  };
}

/** What verifies the tokens of clients, if they need any: only then is jose loaded. Throws when a public key cannot be read. */
async function tokensOf(settings: Settings, log: Log): Promise<Access["tokens"]> {
  if (!needsTokens(settings)) return undefined;
  const { tokenVerifier } = await import("./edge/access/tokens");
  return tokenVerifier(settings, log);
}

/** Throws when a public key cannot be read. */
async function accessOf(
  settings: Settings,
  log: Log,
): Promise<Access & { tokens: Access["tokens"] }> {
  const tokens = await tokensOf(settings, log);
  const isOpen = tokens === undefined && settings.apiKeys.length === 0 && !settings.proxyConnect;
  const closedPrefixes = settings.pusherApps.length > 0 ? CLOSED_PREFIXES : [];
  return { tokens, isOpen, anonymous: settings.anonymous, closedPrefixes };
}
