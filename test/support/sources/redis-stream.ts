// A Redis stream as a source, on a server of its own that loses nothing when it is killed.
import { RedisClient } from "bun";
import { RedisServer } from "../engines/redis-server";
import type { DeadLetter, SourceServer, TestRecord } from "./source-server";

const STREAM = "orders";
const GROUP = "baton";

type Entry = [id: string, fields: string[]];

export class RedisStream implements SourceServer {
  readonly #server: RedisServer;
  #client: RedisClient;

  private constructor(server: RedisServer) {
    this.#server = server;
    this.#client = new RedisClient(server.url);
  }

  static async start(): Promise<RedisStream> {
    // Not at each write: the tests add a hundred thousand.
    return new RedisStream(
      await RedisServer.start({ durable: true, args: ["--appendfsync", "no"] }),
    );
  }

  get declaration() {
    return { kind: "redis", url: this.#server.url, stream: STREAM };
  }

  async add(records: readonly TestRecord[]): Promise<void> {
    const added = records.map((record) =>
      this.#client.send("XADD", [STREAM, "*", ...Object.entries(record).flat()]),
    );
    await Promise.all(added);
  }

  async addPoison(text: string): Promise<void> {
    await this.#client.send("XADD", [STREAM, "*", "unknown", text]);
  }

  async waiting(): Promise<number> {
    const groups = (await this.#client.send("XINFO", ["GROUPS", STREAM])) as {
      name: string;
      pending: number;
      lag: number;
    }[];
    const group = groups.find(({ name }) => name === GROUP);
    return group === undefined ? Number.NaN : group.pending + group.lag;
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    const entries = (await this.#client.send("XRANGE", [`${STREAM}:dead`, "-", "+"])) as Entry[];
    return entries.map(([, fields]) => ({
      code: fields[fields.indexOf("baton_code") + 1] as string,
      record: fields.join(" "),
    }));
  }

  async kill(): Promise<void> {
    this.#client.close();
    await this.#server.kill();
  }

  async run(): Promise<void> {
    await this.#server.run();
    this.#client = new RedisClient(this.#server.url);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await this.#server[Symbol.asyncDispose]();
  }
}
