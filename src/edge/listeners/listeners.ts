// The servers that listen on the relay's port: one, or with TLS one for each certificate that there was, of which the newest takes
// all new connections. Bun cannot give a server another certificate (its `reload` ignores `tls`), and `stop` would end every
// connection that has no request under way. So the older ones go on, for their connections alone.
import type { Server } from "bun";
import type { Log } from "../../log";
import type { Connection } from "../../relay/state/connection";
import type { Settings } from "../../settings/definitions";
import { steerTo } from "./port-filter";

type Certificate = NonNullable<Settings["certificate"]>;

/** What a server is asked for. */
export interface ListenerSettings {
  readonly port: number;
  /** Whether other servers may listen on the same port. */
  readonly reusePort: boolean;
  readonly certificate: Certificate | undefined;
}

interface ListenersOptions extends Omit<ListenerSettings, "reusePort"> {
  /** Whether other processes of this relay listen on the same port. */
  readonly shared: boolean;
  /** Starts a server. Throws what Bun throws. */
  readonly listen: (listening: ListenerSettings) => Server<Connection>;
  /** Is given each server that is to take connections. */
  readonly attach: (server: Server<Connection>) => void;
  readonly log: Log;
}

export class Listeners {
  readonly #options: ListenersOptions;
  #certificate: Certificate | undefined;
  /** From the first to the newest, as the kernel numbers them. */
  readonly #servers: Server<Connection>[];

  /** Throws Bun's error with its `code` when the address cannot be used. */
  constructor(options: ListenersOptions) {
    this.#options = options;
    const { shared, certificate, listen, attach } = options;
    this.#certificate = certificate;
    // Servers that follow must be able to share the port, but another Baton must not share it unnoticed.
    const isRenewable = certificate !== undefined && !shared;
    const port = isRenewable ? freePort(options) : options.port;
    const server = listen({ port, certificate, reusePort: shared || isRenewable });
    attach(server);
    this.#servers = [server];
  }

  /** Such as http://127.0.0.1:8000. */
  get url(): string {
    return listeningUrl(this.#newest);
  }

  /** What new connections get; undefined without TLS. */
  get certificate(): Certificate | undefined {
    return this.#certificate;
  }

  /** Whether a socket or a request is open. */
  get isBusy(): boolean {
    return this.#servers.some((server) => server.pendingWebSockets + server.pendingRequests > 0);
  }

  /** From now on, new connections get this certificate. When that fails they go on to get the last one, and the log says why. */
  renew(certificate: Certificate): void {
    const { cert, key } = certificate;
    if (cert === this.#certificate?.cert && key === this.#certificate.key) return;
    const { log } = this.#options;
    try {
      this.#listenWith(certificate);
      log.info("new connections get the new TLS certificate");
    } catch (error) {
      log.error({ err: error }, "new connections get the old TLS certificate: no server starts");
    }
  }

  #listenWith(certificate: Certificate): void {
    const { listen, attach, log } = this.#options;
    const before = this.#newest;
    const port = before.port as number;
    const server = listen({ port, certificate, reusePort: true });
    this.#certificate = certificate;
    attach(server);
    this.#servers.push(server);
    if (steerTo(port, this.#servers.length - 1)) return;
    // The kernel would go on to give the old one its share of the new connections.
    setImmediate(() => before.stop(false));
    log.warn(
      "this system cannot hand all new connections to one socket, so idle HTTP connections with the old TLS certificate are closed",
    );
  }

  /**
   * Takes no new connections. The kernel resets connections that wait to be accepted when the port is closed, so it is closed
   * just after the event loop has accepted those that were waiting.
   */
  stopListening(): void {
    setImmediate(() => {
      for (const server of this.#servers) server.stop(false);
    });
  }

  /** Ends all connections. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop(true)));
  }

  get #newest(): Server<Connection> {
    return this.#servers.at(-1) as Server<Connection>;
  }
}

/** The port, on which nobody else listens. Throws Bun's error with its `code`. */
function freePort({ port, listen, certificate }: ListenersOptions): number {
  const alone = listen({ port, certificate, reusePort: false });
  const number = alone.port as number;
  alone.stop(true);
  return number;
}

function listeningUrl({ protocol, hostname = "", port }: Server<Connection>): string {
  return `${protocol}://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
