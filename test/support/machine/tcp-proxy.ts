// A TCP proxy in front of a relay, or of a Redis server, that does to connections what networks do: it cuts them at random,
// also in the middle of frames and handshakes, stalls them, slows them down, and suddenly leads to another server.
import net from "node:net";
import { until } from "../wait";
import { seeded } from "./seeded-random";

/** How long a slow connection waits between two pieces. */
const PIECE_MS = 20;

export class TcpProxy implements AsyncDisposable {
  readonly #server: net.Server;
  /** The port that new connections lead to. */
  port: number;
  readonly #links = new Set<Link>();
  readonly random: () => number;
  /** Tests show it when they fail, so that the run can be repeated. */
  readonly seed: number;
  /** Connections that were cut. */
  cuts = 0;
  /** What has been passed on to clients. */
  bytesToClients = 0;
  /** The bounds of the random time after which a connection is cut. */
  #cutAfterMs: readonly [number, number] | undefined;
  #stalled = false;
  /** The rate of each connection, towards the client. */
  bytesPerSecond = Number.POSITIVE_INFINITY;
  /** How long each piece takes to get through, either way, and by how much that varies. */
  latencyMs = 0;
  jitterMs = 0;
  /** How many bytes get through at once, either way. */
  sliceBytes = Number.POSITIVE_INFINITY;
  /** After this many bytes to the relay, or to the client, a connection is cut. */
  limitBytes = { toRelay: Number.POSITIVE_INFINITY, toClient: Number.POSITIVE_INFINITY };
  /** A connection that was quiet for this long is cut. */
  idleMs: number | undefined;
  /** How long after one side has closed the other side learns of it. */
  closeMs = 0;
  /** The probability that a connection is cut instead of passing a piece on to the client. */
  lossRate = 0;

  private constructor(target: string, seed: number) {
    this.seed = seed;
    this.random = seeded(seed);
    this.port = Number(new URL(target).port);
    this.#server = net.createServer((near) => this.#accept(near));
  }

  /** Starts a proxy in front of the relay at this address. */
  static start(target: string, seed = Date.now() % 2 ** 32): Promise<TcpProxy> {
    const proxy = new TcpProxy(target, seed);
    return new Promise((resolve) => {
      proxy.#server.listen(0, "127.0.0.1", () => resolve(proxy));
    });
  }

  get connections(): number {
    return this.#links.size;
  }

  /** Returns the address that leads through the proxy to this one. */
  readonly through = (url: string): string => {
    const { port } = this.#server.address() as net.AddressInfo;
    return url.replace(/^(\w+:\/\/)[^/]*/, `$1127.0.0.1:${port}`);
  };

  /** From now on every connection is cut after a random time between these. */
  cutEach(leastMs: number, mostMs: number): void {
    this.#cutAfterMs = [leastMs, mostMs];
    for (const link of this.#links) link.cutAfter(this.#randomTimeMs());
  }

  /** From now on no connection is cut. */
  keepAll(): void {
    this.#cutAfterMs = undefined;
    for (const link of this.#links) link.cutAfter(undefined);
  }

  /** Resolves when it has cut so many connections, however long that takes; from then on none is cut. */
  async untilCut(count: number): Promise<void> {
    await until(`${count} connections to be cut`, () => this.cuts >= count);
    this.keepAll();
  }

  cutOne(): void {
    const links = [...this.#links];
    links[Math.floor(this.random() * links.length)]?.cut();
  }

  cutAll(): void {
    for (const link of [...this.#links]) link.cut();
  }

  /** Nothing gets through in either direction any more, and no connection is closed. */
  stall(): void {
    this.#stalled = true;
    for (const link of this.#links) link.stall();
  }

  /** New connections get through again; stalled ones stay stalled, as behind a router that has forgotten them. */
  heal(): void {
    this.#stalled = false;
  }

  #accept(near: net.Socket): void {
    const link = new Link(this, near, net.connect(this.port, "127.0.0.1"), () =>
      this.#links.delete(link),
    );
    this.#links.add(link);
    link.cutAfter(this.#randomTimeMs());
    if (this.#stalled) link.stall();
  }

  #randomTimeMs(): number | undefined {
    if (this.#cutAfterMs === undefined) return undefined;
    const [least, most] = this.#cutAfterMs;
    return least + this.random() * (most - least);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.keepAll();
    this.cutAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** One connection through the proxy: the client is at the near end, the relay at the far end. */
class Link {
  readonly #proxy: TcpProxy;
  readonly #ends: readonly net.Socket[];
  readonly #gone: () => void;
  #timer: Timer | undefined;
  #idle: Timer | undefined;
  #open = true;
  #stalled = false;
  readonly #passed = { toRelay: 0, toClient: 0 };

  constructor(proxy: TcpProxy, near: net.Socket, far: net.Socket, gone: () => void) {
    this.#proxy = proxy;
    this.#ends = [near, far];
    this.#gone = gone;
    for (const end of this.#ends) {
      end.setNoDelay(true);
      end.on("error", () => {});
      end.on("close", () => setTimeout(() => this.#close(), proxy.closeMs));
    }
    this.#restartIdleTimer();
    near.on("data", (bytes: Buffer) => this.#forward(bytes, near, far));
    far.on("data", (bytes: Buffer) => this.#forward(bytes, far, near));
  }

  /** Cuts it after this time, or never. */
  cutAfter(ms: number | undefined): void {
    clearTimeout(this.#timer);
    if (ms !== undefined) this.#timer = setTimeout(() => this.cut(), ms);
  }

  /** Ends each side with a reset or a FIN, at random; what is in the proxy is lost. */
  cut(): void {
    if (!this.#open) return;
    this.#proxy.cuts++;
    for (const end of this.#ends) {
      if (this.#proxy.random() < 0.5) end.resetAndDestroy();
    }
    this.#close();
  }

  stall(): void {
    this.#stalled = true;
    for (const end of this.#ends) end.pause();
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#idle);
    for (const end of this.#ends) end.destroy();
    this.#gone();
  }

  #forward(bytes: Buffer, from: net.Socket, to: net.Socket): void {
    if (!this.#open || this.#stalled) return;
    this.#restartIdleTimer();
    const { bytesPerSecond, lossRate, random, sliceBytes, jitterMs } = this.#proxy;
    const towardsClient = to === this.#ends[0];
    if (towardsClient) this.#proxy.bytesToClients += bytes.length;
    const way = towardsClient ? "toClient" : "toRelay";
    const left = this.#proxy.limitBytes[way] - this.#passed[way];
    if (bytes.length >= left) {
      // What has already been passed on still arrives.
      from.pause();
      to.write(bytes.subarray(0, left), () => this.cut());
      return;
    }
    this.#passed[way] += bytes.length;
    if (towardsClient && lossRate > 0 && random() < lossRate) {
      this.cut();
      return;
    }
    if (towardsClient && bytesPerSecond !== Number.POSITIVE_INFINITY) {
      from.pause();
      this.#trickle(bytes, from, to);
      return;
    }
    if (sliceBytes !== Number.POSITIVE_INFINITY || jitterMs > 0) {
      from.pause();
      void this.#slice(bytes, from, to);
      return;
    }
    const { latencyMs } = this.#proxy;
    // Timers of the same length keep their order.
    if (latencyMs > 0) setTimeout(() => to.write(bytes), latencyMs);
    else this.#pass(bytes, from, to);
  }

  #pass(bytes: Buffer, from: net.Socket, to: net.Socket): void {
    if (to.write(bytes)) return;
    from.pause();
    to.once("drain", () => this.#resume(from));
  }

  /** Passes bytes on piece by piece. Meanwhile nothing more is read, so that what the relay sends piles up. */
  #trickle(bytes: Buffer, from: net.Socket, to: net.Socket): void {
    if (!this.#open || this.#stalled) return;
    const size = Math.max(1, Math.round((this.#proxy.bytesPerSecond * PIECE_MS) / 1_000));
    to.write(bytes.subarray(0, size));
    const rest = bytes.subarray(size);
    setTimeout(() => {
      if (rest.length > 0) this.#trickle(rest, from, to);
      else this.#resume(from);
    }, PIECE_MS);
  }

  /** Passes bytes on in slices, in order, each in a turn of its own. */
  async #slice(bytes: Buffer, from: net.Socket, to: net.Socket): Promise<void> {
    const { latencyMs, jitterMs, sliceBytes, random } = this.#proxy;
    const ms = latencyMs + (2 * random() - 1) * jitterMs;
    if (ms > 0) await Bun.sleep(ms);
    for (let at = 0; at < bytes.length; at += sliceBytes) {
      if (!this.#open || this.#stalled) return;
      to.write(bytes.subarray(at, at + sliceBytes));
      await new Promise(setImmediate);
    }
    this.#resume(from);
  }

  #restartIdleTimer(): void {
    clearTimeout(this.#idle);
    const { idleMs } = this.#proxy;
    if (idleMs !== undefined) this.#idle = setTimeout(() => this.cut(), idleMs);
  }

  #resume(from: net.Socket): void {
    if (this.#open && !this.#stalled) from.resume();
  }
}
