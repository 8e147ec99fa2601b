// A real Redis server for tests: Debian's redis-server on a port of its own, with a folder of its own for its data.
import { join } from "node:path";
import { RedisClient } from "bun";
import { Folder } from "../machine/folder";
import { freePort } from "../machine/free-port";
import { until } from "../wait";

const MISSING =
  "redis-server is not installed, and the tests of the Redis engine need it: apt-get install redis-server";

export interface RedisServerOptions {
  /** Whether its data survives a kill: it keeps an append-only file, which it syncs at each write. */
  readonly durable?: boolean;
  /** The password that it requires. */
  readonly password?: string;
  /** More arguments for its command line. */
  readonly args?: readonly string[];
}

export class RedisServer implements AsyncDisposable {
  static readonly #shared: Promise<RedisServer>[] = [];
  readonly port: number;
  readonly #folder = new Folder();
  readonly #options: RedisServerOptions;
  #child: Bun.Subprocess | undefined;

  private constructor(port: number, options: RedisServerOptions) {
    this.port = port;
    this.#options = options;
  }

  /** Starts a server and resolves when it accepts connections. Rejects with a sentence if redis-server is not installed. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = await RedisServer.absent(options);
    await server.run();
    return server;
  }

  /** Reserves an address; `run` starts the server there. */
  static async absent(options: RedisServerOptions = {}): Promise<RedisServer> {
    return new RedisServer(freePort(), options);
  }

  /**
   * The server that all tests of this process share. Each test uses a prefix of its own and changes only its own keys. A new
   * server is started if the last one has ended, because Bun kills all child processes when a test takes too long.
   */
  static shared(which: 0 | 1 = 0): Promise<RedisServer> {
    const before = RedisServer.#shared[which];
    const shared = (async () => {
      const server = await before;
      return server !== undefined && (await server.#answers()) ? server : RedisServer.#lasting();
    })();
    RedisServer.#shared[which] = shared;
    return shared;
  }

  /** Starts a server that ends with this process, however that ends: `bun test` calls no exit handlers. */
  static async #lasting(): Promise<RedisServer> {
    const server = await RedisServer.start();
    const { pid = 0 } = server.#child ?? {};
    server.#child?.unref();
    // The watcher's input ends with this process. The title of the server has its port, so no other process is killed.
    const then = `grep -q :${server.port} /proc/${pid}/cmdline && kill -9 ${pid}; rm -rf ${server.#folder.path}`;
    const watching = Bun.spawn(["sh", "-c", `cat >/dev/null; ${then}`], {
      stdin: "pipe",
      stdout: "ignore",
      stderr: "ignore",
    });
    watching.unref();
    return server;
  }

  get url(): string {
    const { password } = this.#options;
    return `redis://${password === undefined ? "" : `:${password}@`}127.0.0.1:${this.port}`;
  }

  /** Starts it, unless it runs, for the first time or after it was killed. */
  async run(): Promise<void> {
    if (this.#child?.killed === false) return;
    const { durable = false, password, args = [] } = this.#options;
    if (Bun.which("redis-server") === null) throw new Error(MISSING);
    const keeping = durable ? ["--appendonly", "yes", "--appendfsync", "always"] : [];
    const asking = password === undefined ? [] : ["--requirepass", password];
    this.#child = Bun.spawn(
      [
        "redis-server",
        ...["--port", String(this.port), "--bind", "127.0.0.1", "--dir", this.#folder.path],
        ...["--save", "", "--repl-diskless-sync-delay", "0", ...keeping, ...asking, ...args],
      ],
      { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    );
    const child = this.#child;
    await until("Redis to answer", () => {
      if (child.exitCode !== null) throw new Error(`redis-server has ended with ${child.exitCode}`);
      return this.#answers();
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** Kills it, without a chance to save anything. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** Has it save its data, and resolves with a copy of the file. */
  async save(): Promise<Uint8Array> {
    await this.command("SAVE");
    return Bun.file(join(this.#folder.path, "dump.rdb")).bytes();
  }

  /** Sets the data with which it starts the next time. */
  async restore(saved: Uint8Array): Promise<void> {
    await Bun.write(join(this.#folder.path, "dump.rdb"), saved);
  }

  /** The file to which a durable server appends its writes; complete once the server has been killed. */
  get appendOnlyFile(): string {
    return join(this.#folder.path, "appendonlydir", "appendonly.aof.1.incr.aof");
  }

  /** Follows another server, and resolves when it has the same data. */
  async replicate(port: number): Promise<void> {
    await this.command("REPLICAOF", "127.0.0.1", String(port));
    await until("the replica to follow", async () =>
      (await this.info("replication")).includes("master_link_status:up"),
    );
  }

  /** The offset of its replication: the same on a server and on a replica that lacks nothing. */
  async replicated(): Promise<string | undefined> {
    return /master_repl_offset:(\d+)/.exec(await this.info("replication"))?.[1];
  }

  async info(section: string): Promise<string> {
    return String(await this.command("INFO", section));
  }

  /** Sends one command, over a connection of its own. */
  async command(name: string, ...args: string[]): Promise<unknown> {
    const client = new RedisClient(this.url, { autoReconnect: false, enableOfflineQueue: false });
    await client.connect();
    try {
      return await client.send(name, args);
    } finally {
      client.close();
    }
  }

  /** Subscribes to a channel until it is closed, and ignores what comes. */
  async subscriber(channel: string): Promise<RedisClient> {
    const client = new RedisClient(this.url, { autoReconnect: false, enableOfflineQueue: false });
    await client.connect();
    await client.subscribe(channel, () => {});
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#folder[Symbol.dispose]();
  }

  async #answers(): Promise<boolean> {
    return this.command("PING").then(
      (answer) => answer === "PONG",
      () => false,
    );
  }
}
