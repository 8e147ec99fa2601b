// `baton({...})`: a relay that an Elysia app serves beside its own routes. Elysia's `use` hands the app over, and what Elysia calls an
// adapter starts and stops the server: Baton puts its paths and sockets in between, and leaves the rest to the app's own adapter.
import type { Server, WebSocketHandler } from "bun";
import type { AnyElysia } from "elysia";
import { websocket as elysiaSockets } from "elysia/ws";
import { refuse } from "../edge/http/refusal";
import { socketLimits } from "../edge/transports/sockets";
import type { Settings } from "../settings/definitions";
import { SettingError } from "../settings/kinds";
import type { BatonOptions, EmbeddedRelay } from "./contract";
import { declaredCheck } from "./declared-topics";
import { EmbeddedNode, notStarted } from "./embedded-node";
import { HostServer } from "./host/host-server";
import { clash, isWithin, pathsOf } from "./host/paths";
import { relaySettings } from "./settings";
import type { AnyTopics, Topics } from "./topics";

/**
 * A relay for `new Elysia().use(relay).listen(3000)`. Throws an Error that says which option is not allowed; no environment is read
 * that is not given as the option `env`.
 */
export function baton<Declared extends Topics = AnyTopics>(
  options: BatonOptions<Declared> = {},
): EmbeddedRelay<Declared> {
  const settings = relaySettings(options);
  const checkDeclared = options.topics && declaredCheck(options.topics);
  const node = new EmbeddedNode({ settings, checkDeclared, log: options.log });
  const prefix = checkedPrefix(options.prefix);
  let isUsed = false;
  const use = <App>(app: App): App => {
    if (isUsed)
      throw new SettingError("baton(): a relay is for one app: make another one for each.");
    isUsed = true;
    embed(app as AnyElysia, { settings, node, prefix });
    return app;
  };
  return Object.assign(use, {
    ready: node.ready,
    publish: node.publish.bind(node),
    register: node.register.bind(node),
    unregister: node.unregister.bind(node),
    disconnect: node.disconnect.bind(node),
    connections: node.connections.bind(node),
    presence: node.presence.bind(node),
    counts: node.counts.bind(node),
  }) as EmbeddedRelay<Declared>;
}

function checkedPrefix(prefix = ""): string {
  if (/^(?:\/[\w.~-]+)*$/.test(prefix)) return prefix;
  throw new SettingError(
    `baton(): prefix=${JSON.stringify(prefix)} is not allowed: it must be a path such as "/relay", without a slash at its end.`,
  );
}

interface Place {
  readonly settings: Settings;
  readonly node: EmbeddedNode;
  readonly prefix: string;
}

/** Marks the adapter of an app that has a relay. */
const EMBEDDED = Symbol("an app with a relay");

function embed(app: AnyElysia, place: Place): void {
  const { node } = place;
  const adapter = app["~adapter"];
  if (EMBEDDED in adapter) {
    throw new SettingError("baton(): this app has a relay already. Two of them need an app each.");
  }
  // What `group` and `guard` hand over, and an app that another one uses, ask that one for the server.
  if (Object.hasOwn(app, "getServer")) throw usedByPart();
  if (app.server !== null) {
    throw new SettingError(
      "baton(): the app listens already. Use the relay before listen(); after plugins that are loaded later, await app.modules first.",
    );
  }
  if (adapter.name !== "bun") {
    throw new SettingError("baton(): the app must run on Bun, with Elysia's own adapter.");
  }
  let host: HostServer | undefined;
  const listen: Adapter["listen"] = (listener) => (options, callback) => {
    if (node.hasStarted) {
      throw new SettingError("baton(): a relay starts once: make another one to listen again.");
    }
    const given = typeof options === "object" ? options : { port: Number(options) };
    host = new HostServer({
      prefix: (listener.config.prefix ?? "") + place.prefix,
      isTls: (given.tls ?? listener.config.serve?.tls) !== undefined,
    });
    const serve = serveOptions(listener, given, host, place.settings);
    adapter.listen(listener)(serve, callback);
  };
  const stop: Adapter["stop"] = async (listener, closeActive) => {
    await node.stop(closeActive === true ? "at once" : "paced");
    await adapter.stop?.(listener, closeActive);
  };
  app["~adapter"] = Object.assign({ ...adapter, listen, stop }, { [EMBEDDED]: true });
  // An app that is mounted, or whose fetch is served, has no relay: that must not look like a wrong path.
  app.onError(({ code, path }) => {
    if (code !== "NOT_FOUND" || node.hasStarted) return undefined;
    const prefix = (app.config.prefix ?? "") + place.prefix;
    const isOurs = pathsOf(place.settings).some((own) => isWithin(path, prefix + own));
    return isOurs ? refuse(notStarted()) : undefined;
  });
  app.onStart((started: AnyElysia) => {
    const server = started.server as Server<unknown> | null;
    if (host !== undefined && server !== null) return node.start(host.attach(server));
    server?.stop(true);
    throw usedByPart();
  });
}

function usedByPart(): SettingError {
  return new SettingError(
    "baton(): the relay is used by a part of the app that listens. Use it on that app itself: new Elysia().use(relay).listen(3000).",
  );
}

type Adapter = AnyElysia["~adapter"];

type ServeOptions = Exclude<Parameters<ReturnType<Adapter["listen"]>>[0], string | number>;

/** Bun has one set of these for all sockets of a server. */
const SOCKET_LIMITS = {
  maxPayloadLength: "frameBytes",
  backpressureLimit: "backpressureBytes",
  closeOnBackpressureLimit: undefined,
  perMessageDeflate: undefined,
} as const;

/** Bun's own defaults, which end sockets of the app whose peers are gone. */
const OWN_SOCKETS = { idleTimeout: 120, sendPings: true };

/** What Elysia hands on to Bun: what the app asks for, and in it Baton's paths and sockets. Throws SettingError. */
function serveOptions(
  app: AnyElysia,
  given: ServeOptions,
  host: HostServer,
  settings: Settings,
): ServeOptions {
  const { serve = {}, websocket } = app.config;
  const { frameBytes, backpressureBytes } = settings;
  const routes = host.routes(pathsOf(settings));
  checkClash(app, Object.keys(routes));
  const asked = { ...websocket, ...given.websocket } as WebSocketHandler<unknown>;
  for (const [name, option] of Object.entries(SOCKET_LIMITS)) {
    if (!(name in asked)) continue;
    const instead = option === undefined ? "" : ` Set the option ${option} of baton() instead.`;
    throw new SettingError(
      `baton(): websocket.${name} cannot be set, because it would be that of Baton's sockets too.${instead}`,
    );
  }
  const hasOwn = app.routes.some(({ method }) => method === "WS");
  const { idleTimeout, sendPings, ...others } = asked;
  // Elysia reads its own configuration again when modules that were still loading have come.
  app.config.serve = { ...serve, routes: { ...routesOf(serve), ...routes } } as typeof serve;
  return {
    // Another process must not share the port unnoticed: its clients would not get what is published here.
    reusePort: serve.reusePort ?? false,
    ...given,
    websocket: {
      ...others,
      ...socketLimits({ frameBytes, backpressureBytes, isTls: host.isTls }),
      ...(hasOwn && OWN_SOCKETS),
      ...(idleTimeout !== undefined && { idleTimeout }),
      ...(sendPings !== undefined && { sendPings }),
      ...host.websocket({ ...elysiaSockets, ...others } as WebSocketHandler<unknown>),
    },
  } as ServeOptions;
}

function routesOf(serve: object): object {
  return "routes" in serve ? (serve.routes as object) : {};
}

function checkClash(app: AnyElysia, paths: readonly string[]): void {
  const served = Object.keys(routesOf(app.config.serve ?? {})).filter(
    (path) => !paths.includes(path),
  );
  const own = [...app.routes, ...served.map((path) => ({ method: "ALL", path }))];
  const found = clash(own, paths);
  if (found === undefined) return;
  const { route, path } = found;
  throw new SettingError(
    `baton(): the app has ${route.method} ${route.path}, and Baton has ${path}. Give Baton paths of its own: baton({ prefix: "/relay" }).`,
  );
}
