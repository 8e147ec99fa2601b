// A JetStream stream as a source, on a NATS server of its own.
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { NatsServer } from "../brokers/nats-server";
import type { DeadLetter, SourceServer, TestRecord } from "./source-server";

const STREAM = "ORDERS";
const DEAD_STREAM = "DEAD";

export class NatsStream implements SourceServer {
  readonly #server: NatsServer;
  #connection!: NatsConnection;
  #manager!: JetStreamManager;

  private constructor(server: NatsServer) {
    this.#server = server;
  }

  static async start(messageBytesMax?: number): Promise<NatsStream> {
    const stream = new NatsStream(await NatsServer.start(messageBytesMax));
    await stream.#connect();
    await stream.#manager.streams.add({ name: STREAM, subjects: ["orders.>"] });
    await stream.#manager.streams.add({ name: DEAD_STREAM, subjects: ["dead.>"] });
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
      stream: STREAM,
      dead_letters: "dead.orders",
    };
  }

  async add(records: readonly TestRecord[]): Promise<void> {
    await Promise.all(records.map((record) => this.#publish(JSON.stringify(record))));
  }

  async addPoison(text: string): Promise<void> {
    await this.#publish(text);
  }

  async #publish(text: string): Promise<void> {
    await jetstream(this.#connection).publish("orders.new", text);
  }

  async waiting(): Promise<number> {
    const consumers = await this.#manager.consumers.list(STREAM).next();
    // One that a reader has just left behind has what the next one has too.
    const waiting = consumers.map(
      ({ num_pending, num_ack_pending }) => num_pending + num_ack_pending,
    );
    return consumers.length === 0 ? Number.NaN : Math.max(...waiting);
  }

  async deadLetters(): Promise<readonly DeadLetter[]> {
    const { state } = await this.#manager.streams.info(DEAD_STREAM);
    const letters: DeadLetter[] = [];
    for (let seq = 1; seq <= state.last_seq; seq++) {
      const letter = await this.#manager.streams.getMessage(DEAD_STREAM, { seq });
      letters.push({
        code: letter?.header.get("baton_code") ?? "",
        record: letter?.string() ?? "",
      });
    }
    return letters;
  }

  /** Makes the stream anew: its numbers begin again. */
  async remake(): Promise<void> {
    await this.#manager.streams.delete(STREAM);
    await this.#manager.streams.add({ name: STREAM, subjects: ["orders.>"] });
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
    await this.#server[Symbol.asyncDispose]();
  }
}
