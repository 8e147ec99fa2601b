// A Redis stream as a source, on a server that loses nothing when it is killed.
import { RedisClient } from "bun";
import type { RedisServer } from "../engines/redis-server";
import type { DeadLetter, SourceServer, TestRecord } from "./source-server";

const GROUP = "baton";

type Entry = [id: string, fields: string[]];

export class RedisStream implements SourceServer {
  readonly #server: RedisServer;
  readonly #stream = crypto.randomUUID();
  #client: RedisClient;

  constructor(server: RedisServer) {
    this.#server = server;
    this.#client = new RedisClient(server.url);
  }

  get declaration() {
    return { kind: "redis", url: this.#server.url, stream: this.#stream };
  }

  async add(records: readonly TestRecord[]): Promise<void> {
    const added = records.map((record) =>
      this.#client.send("XADD", [this.#stream, "*", ...Object.entries(record).flat()]),
    );
    await Promise.all(added);
  }

  async addPoison(text: string): Promise<void> {
    await this.#client.send("XADD", [this.#stream, "*", "unknown", text]);
  }

  async waiting(): Promise<number> {
    const groups = (await this.#client.send("XINFO", ["GROUPS", this.#stream])) as {
      name: string;
      pending: number;
      lag: number;
    }[];
    const group = groups.find(({ name }) => name === GROUP);
    return group === undefined ? Number.NaN : group.pending + group.lag;
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    const entries = (await this.#client.send("XRANGE", [
      `${this.#stream}:dead`,
      "-",
      "+",
    ])) as Entry[];
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
    await this.#client.send("UNLINK", [this.#stream, `${this.#stream}:dead`]);
    this.#client.close();
  }
}
