// Baton's part in the server of another app: the paths that are Baton's, and the sockets among all of the server. The app's own server
// is started and stopped by Elysia. Requests of Baton's paths do not pass through Elysia at all, as in a server of Baton's own.
import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import { type Front, front, type NodeServer, type ServerOptions } from "../../edge/server";
import { Connection } from "../../relay/state/connection";
import { pathsOf, unreachable } from "./paths";

/** Undefined is the answer to a request that has become a socket. */
type Answer = Response | undefined | Promise<Response | undefined>;

type Respond = (front: Front, request: Request) => Answer;

/** What Bun's router calls. */
type BunRoute = (request: Request) => Answer;

interface HostServerOptions {
  /** What Baton's paths begin with, such as "/relay"; or "". */
  readonly prefix: string;
  readonly isTls: boolean;
}

export class HostServer implements NodeServer {
  readonly prefix: string;
  readonly isTls: boolean;
  readonly certificate = undefined;
  /** Resolves once the relay serves. */
  readonly #started = Promise.withResolvers<Front>();
  #front: Front | undefined;
  #server: Server<unknown> | undefined;
  /** Open sockets of Baton's. */
  #sockets = 0;

  constructor({ prefix, isTls }: HostServerOptions) {
    this.prefix = prefix;
    this.isTls = isTls;
    this.#started.promise.catch(() => {});
  }

  /** The server listens. Requests that come before `serve` wait for it. */
  attach(server: Server<unknown>): this {
    this.#server = server;
    return this;
  }

  /** Begins to answer. */
  readonly serve = (options: ServerOptions): NodeServer => {
    this.#front = front(options, () => this.url);
    const missing = unreachable(this.#front.paths, pathsOf(options.settings));
    if (missing !== undefined) throw new Error(`no path of the library leads to ${missing}`);
    this.#front.attach(this.#server as Server<Connection>);
    this.#started.resolve(this.#front);
    return this;
  };

  /** The relay cannot start: requests that wait for it fail. */
  fail(error: unknown): void {
    this.#started.reject(error);
  }

  get url(): string {
    return this.#server?.url.origin ?? "";
  }

  get isBusy(): boolean {
    return this.#sockets > 0;
  }

  /** The certificate is the app's. */
  renew(): void {}

  /** The app stops its server. */
  stopListening(): void {}

  async stop(): Promise<void> {}

  /** What Bun's router is given for these paths. */
  routes(paths: readonly string[]): Record<string, BunRoute> {
    const any = this.#route((front, request) => front.any(request));
    const publish = this.#route((front, request) =>
      request.method === "POST" ? front.publish(request) : front.any(request),
    );
    return Object.fromEntries(
      paths.map((path) => [this.prefix + path, path === "/publish" ? publish : any]),
    );
  }

  #route(respond: Respond): BunRoute {
    const guarded = (front: Front, request: Request): Answer => {
      if (this.prefix !== "") removePrefix(request, this.prefix);
      // A fault of ours is logged, and answered with 500.
      try {
        const answer = respond(front, request);
        return answer instanceof Promise ? answer.catch(front.error) : answer;
      } catch (error) {
        return front.error(error as Error);
      }
    };
    return (request) =>
      this.#front === undefined
        ? this.#started.promise.then((front) => guarded(front, request))
        : guarded(this.#front, request);
  }

  /** The handlers of all sockets of the server: Baton's, and those of the app. */
  websocket(own: WebSocketHandler<unknown>): Omit<WebSocketHandler<unknown>, "data"> {
    const baton = () => (this.#front as Front).websocket;
    return {
      open: (ws) => {
        if (!isOurs(ws)) return own.open?.(ws);
        this.#sockets++;
        return baton().open?.(ws);
      },
      message: (ws, frame) =>
        isOurs(ws) ? baton().message?.(ws, frame) : own.message?.(ws, frame),
      ping: (ws, data) => (isOurs(ws) ? baton().ping?.(ws, data) : own.ping?.(ws, data)),
      pong: (ws, data) => (isOurs(ws) ? baton().pong?.(ws, data) : own.pong?.(ws, data)),
      drain: (ws) => (isOurs(ws) ? baton().drain?.(ws) : own.drain?.(ws)),
      close: (ws, code, reason) => {
        if (!isOurs(ws)) return own.close?.(ws, code, reason);
        this.#sockets--;
        return baton().close?.(ws, code, reason);
      },
    };
  }
}

function isOurs(ws: ServerWebSocket<unknown>): ws is ServerWebSocket<Connection> {
  return ws.data instanceof Connection;
}

/** Baton's own router and routes know no prefix. The request itself must stay, since it may become a socket. */
function removePrefix(request: Request, prefix: string): void {
  const { url } = request;
  // Without a Host, a URL is the path alone.
  const begin = url[0] === "/" ? 0 : url.indexOf("/", 8);
  const value = url.slice(0, begin) + url.slice(begin + prefix.length);
  // The guard may replace it once more.
  Object.defineProperty(request, "url", { value, configurable: true });
}
