// A client of the Pusher protocol for tests of the wire: it signs as a backend would.
import { createHmac } from "node:crypto";
import { Client } from "../clients/client";
import { APP } from "./app";

interface PusherFrame {
  readonly event: string;
  readonly channel?: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into data of any shape
  readonly data: any;
  readonly user_id?: string;
}

/** `key:signature` of a text. */
export function authOf(text: string, { key, secret } = APP): string {
  return `${key}:${createHmac("sha256", secret).update(text).digest("hex")}`;
}

export class PusherClient {
  readonly #client: Client;
  readonly socketId: string;

  private constructor(client: Client, socketId: string) {
    this.#client = client;
    this.socketId = socketId;
  }

  /** Connects to the relay at an HTTP address; rejects unless the connection is established. */
  static async open(relay: string, query = "?protocol=7&client=js&version=8.6.0&flash=false") {
    const client = await Client.open(`${relay.replace(/^http/, "ws")}/app/${APP.key}${query}`);
    const { event, data } = JSON.parse(await client.next()) as PusherFrame;
    if (event !== "pusher:connection_established") throw new Error(`got ${event}`);
    return new PusherClient(client, JSON.parse(data).socket_id);
  }

  get closed() {
    return this.#client.closed;
  }

  send(event: string, data: unknown, channel?: string): void {
    this.#client.send({ event, data, ...(channel !== undefined && { channel }) });
  }

  sendText(frame: string): void {
    this.#client.send(frame);
  }

  async next(): Promise<PusherFrame> {
    return JSON.parse(await this.#client.next());
  }

  nextText(): Promise<string> {
    return this.#client.next();
  }

  async take(count: number): Promise<PusherFrame[]> {
    return (await this.#client.take(count)).map((frame) => JSON.parse(frame));
  }

  /** Takes all frames that have arrived, once the relay has handled everything that was sent. */
  async rest(): Promise<PusherFrame[]> {
    return (await this.#client.rest()).map((frame) => JSON.parse(frame));
  }

  /** Asks for a channel, signed where it has to be; the answer is the next frame. */
  subscribe(channel: string, member?: object): void {
    const channel_data = member && JSON.stringify(member);
    const text = [this.socketId, channel, ...(channel_data === undefined ? [] : [channel_data])];
    const isPublic = !/^(private|presence)-/.test(channel);
    const auth = isPublic ? "" : authOf(text.join(":"));
    this.send("pusher:subscribe", { auth, channel, ...(channel_data && { channel_data }) });
  }

  /** Subscribes, and resolves with the data of the success. */
  async subscribed(channel: string, member?: object) {
    this.subscribe(channel, member);
    const frame = await this.next();
    const isSuccess = frame.event === "pusher_internal:subscription_succeeded";
    if (!isSuccess || frame.channel !== channel) throw new Error(`got ${JSON.stringify(frame)}`);
    return JSON.parse(frame.data);
  }

  /** Signs in as this user; the answer is the next frame. */
  signIn(user: object): void {
    const user_data = JSON.stringify(user);
    this.send("pusher:signin", { auth: authOf(`${this.socketId}::user::${user_data}`), user_data });
  }

  settled() {
    return this.#client.settled();
  }

  close() {
    return this.#client.close();
  }

  drop(): void {
    this.#client.drop();
  }
}
