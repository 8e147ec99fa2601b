// A JetStream stream as a source.
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { NatsServer } from "../brokers/nats-server";
import type { DeadLetter, SourceServer, TestRecord } from "./source-server";

export class NatsStream implements SourceServer {
  readonly #server: NatsServer;
  readonly #stream = crypto.randomUUID();
  readonly #deadStream = `${this.#stream}-dead`;
  #connection!: NatsConnection;
  #manager!: JetStreamManager;

  private constructor(server: NatsServer) {
    this.#server = server;
  }

  /** Each stream has the one subject that is its own name. */
  static async make(server: NatsServer): Promise<NatsStream> {
    const stream = new NatsStream(server);
    await stream.#connect();
    for (const name of [stream.#stream, stream.#deadStream]) {
      await stream.#manager.streams.add({ name, subjects: [name] });
    }
    return stream;
  }

  async #connect(): Promise<void> {
    this.#connection = await connect({ servers: this.#server.url, reconnect: false });
    this.#manager = await jetstreamManager(this.#connection);
  }

  get declaration() {
    return {
      kind: "nats",
      servers: [this.#server.url],
      stream: this.#stream,
      dead_letters: this.#deadStream,
    };
  }

  async add(records: readonly TestRecord[]): Promise<void> {
    await Promise.all(records.map((record) => this.#publish(JSON.stringify(record))));
  }

  async addPoison(text: string): Promise<void> {
    await this.#publish(text);
  }

  async #publish(text: string): Promise<void> {
    await jetstream(this.#connection).publish(this.#stream, text);
  }

  async waiting(): Promise<number> {
    const consumers = await this.#manager.consumers.list(this.#stream).next();
    // One that a reader has just left behind has what the next one has too.
    const waiting = consumers.map(
      ({ num_pending, num_ack_pending }) => num_pending + num_ack_pending,
    );
    return consumers.length === 0 ? Number.NaN : Math.max(...waiting);
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    const { state } = await this.#manager.streams.info(this.#deadStream);
    const letters: DeadLetter[] = [];
    for (let seq = 1; seq <= state.last_seq; seq++) {
      const letter = await this.#manager.streams.getMessage(this.#deadStream, { seq });
      letters.push({
        code: letter?.header.get("baton_code") ?? "",
        record: letter?.string() ?? "",
      });
    }
    return letters;
  }

  async kill(): Promise<void> {
    await this.#server.kill();
  }

  async run(): Promise<void> {
    await this.#server.run();
    await this.#connect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }
}
