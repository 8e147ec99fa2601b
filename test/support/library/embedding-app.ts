// An Elysia app that embeds a relay and listens on a free port, and the calls that tests make of it.
import type { AnyElysia } from "elysia";
import { Client } from "../clients/client";

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly json: any;
}

export class EmbeddingApp implements AsyncDisposable {
  readonly app: AnyElysia;
  readonly url: string;
  readonly #clients: Client[] = [];

  constructor(app: AnyElysia) {
    this.app = app;
    app.listen({ port: 0, hostname: "127.0.0.1" });
    this.url = `http://127.0.0.1:${app.server?.port}`;
  }

  async get(path: string): Promise<string> {
    return (await fetch(this.url + path)).text();
  }

  async post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(this.url + path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json", ...headers },
    });
    return { status: response.status, json: await response.json() };
  }

  /** A client at the address of a registration or at a path of the server. */
  async open(address: string): Promise<Client> {
    const url = address.startsWith("/") ? `ws${this.url.slice(4)}${address}` : address;
    const client = await Client.open(url);
    this.#clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.drop();
    if (this.app.server !== null) await this.app.stop(true);
  }
}
