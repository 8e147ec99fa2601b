// A client of the Centrifuge protocol, in JSON or in protobuf, over a bare WebSocket. It sends commands, matches replies by
// their ids, and keeps pushes in order.
import { Client, type Closed } from "../clients/client";
import { decodeReplies, encodeCommands } from "./protobuf";

// biome-ignore lint/suspicious/noExplicitAny: tests look into frames of any shape
type Frame = any;

interface SessionOptions {
  readonly token?: string;
  readonly topics?: readonly string[];
  readonly form?: "json" | "protobuf";
}

export class SessionClient {
  readonly #client: Client;
  readonly #encode: (command: object) => unknown;
  readonly #pushes: Frame[] = [];
  /** Lines of the frame that was taken last. */
  readonly #lines: string[] = [];
  #lastId = 0;
  /** The id of its connection. */
  id = "";

  private constructor(client: Client, form: "json" | "protobuf") {
    this.#client = client;
    this.#encode = form === "json" ? (command) => command : (command) => encodeCommands([command]);
  }

  /** Opens a socket; its first command is still to be sent. */
  static async open(
    relay: { readonly url: string },
    form: "json" | "protobuf" = "json",
    headers?: Readonly<Record<string, string>>,
  ): Promise<SessionClient> {
    const url = `${relay.url.replace("http", "ws")}/connection/websocket`;
    const client =
      form === "json"
        ? await Client.open(url, headers && { headers })
        : await Client.open(url, { protocols: ["centrifuge-protobuf"] }, linesOf);
    return new SessionClient(client, form);
  }

  /** Connects a session and subscribes it to these topics. */
  static async connect(
    relay: { readonly url: string },
    { token = "", topics = [], form = "json" }: SessionOptions = {},
  ): Promise<SessionClient> {
    const session = await SessionClient.open(relay, form);
    const { connect } = await session.ask("connect", token === "" ? {} : { token });
    session.id = connect.client;
    for (const channel of topics) await session.ask("subscribe", { channel });
    return session;
  }

  get closed(): Promise<Closed> {
    return this.#client.closed;
  }

  /** Sends a command and resolves with its reply, also if that is an error. */
  async ask(method: string, body: object): Promise<Frame> {
    const id = ++this.#lastId;
    this.#client.send(this.#encode({ id, [method]: body }));
    for (;;) {
      const line = await this.#next();
      if (line.id === id) return line;
      this.#pushes.push(line.push);
    }
  }

  /** Sends a command whose reply is not waited for. */
  send(method: string, body: object): void {
    this.#client.send(this.#encode({ id: ++this.#lastId, [method]: body }));
  }

  /** Takes the next push. */
  async next(): Promise<Frame> {
    const push = this.#pushes.shift();
    return push ?? (await this.#next()).push;
  }

  /** Takes all pushes that have arrived, once the relay has handled everything that was sent. */
  async rest(): Promise<Frame[]> {
    const frames = (await this.#client.rest()).flatMap((frame) => frame.split("\n"));
    const lines = [...this.#lines.splice(0), ...frames];
    return [...this.#pushes.splice(0), ...lines.map((line) => JSON.parse(line).push)];
  }

  /** Takes the next line as text; no push may be left. */
  async nextText(): Promise<string> {
    if (this.#lines.length === 0) this.#lines.push(...(await this.#client.next()).split("\n"));
    return this.#lines.shift() ?? "";
  }

  close(): Promise<Closed> {
    return this.#client.close();
  }

  drop(): void {
    this.#client.drop();
  }

  async #next(): Promise<Frame> {
    return JSON.parse(await this.nextText());
  }
}

/** The messages of a binary frame as they are in the JSON form, one to a line. */
export function linesOf(frame: Uint8Array): string {
  return decodeReplies(frame)
    .map((reply) => JSON.stringify(reply))
    .join("\n");
}
