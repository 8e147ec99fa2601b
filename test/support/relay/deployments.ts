// The ways in which a relay can be deployed. What is true of one process must be true of all of them.
import { Elysia } from "elysia";
import { baton } from "../../../src/library";
import { Client } from "../clients/client";
import { RedisServer } from "../engines/redis-server";
import { EmbeddingApp } from "../library/embedding-app";
import { Folder } from "../machine/folder";
import { RelayProcess } from "./relay-process";

export interface Deployment extends AsyncDisposable {
  /** The addresses of its nodes, which are all equivalent. */
  readonly urls: readonly string[];
  /** How many processes serve clients. */
  readonly nodes: number;
}

type Env = Record<string, string>;

/** By their names; each starts with the given settings. */
export const DEPLOYMENTS: Readonly<Record<string, (env: Env) => Promise<Deployment>>> = {
  "one process": (env) => processes([env]),
  "two workers and a file": (env) => {
    const folder = new Folder();
    const engine = `sqlite:${folder.path}/baton.db`;
    return processes([{ ...env, BATON_WORKERS: "2", BATON_ENGINE: engine }], folder);
  },
  "two nodes over Redis": async (env) => {
    const redis = await sharedRedis();
    return processes([
      { ...env, ...redis },
      { ...env, ...redis },
    ]);
  },
  "two nodes of two workers over three Redis databases": async (env) => {
    const first = await sharedRedis();
    const second = await RedisServer.shared(1);
    const BATON_ENGINE = `${first.BATON_ENGINE},${second.url},${second.url}/1`;
    const node = { ...env, ...first, BATON_ENGINE, BATON_WORKERS: "2" };
    return processes([node, node]);
  },
  "two nodes over Redis, one of them in an app": async (env) => {
    const node = { ...env, ...(await sharedRedis()) };
    const app = await appWithNode(node);
    const { urls, nodes, ...own } = await processes([node]);
    return {
      urls: [...urls, app.url],
      nodes: nodes + 1,
      async [Symbol.asyncDispose]() {
        await own[Symbol.asyncDispose]();
        await app[Symbol.asyncDispose]();
      },
    };
  },
  "four workers": (env) => processes([{ ...env, BATON_WORKERS: "4" }]),
};

/** The settings for a prefix of its own on the server that all tests share. */
async function sharedRedis() {
  const { url } = await RedisServer.shared();
  return { BATON_ENGINE: url, BATON_REDIS_PREFIX: crypto.randomUUID() };
}

/** Starts a process with each of these settings; `folder` is removed with them. */
async function processes(envs: readonly Env[], folder?: Folder): Promise<Deployment> {
  const relays = await Promise.all(
    envs.map((env) =>
      RelayProcess.start({ BATON_SHUTDOWN_MS: "50", BATON_LOG_LEVEL: "info", ...env }),
    ),
  );
  return {
    urls: relays.map(({ url }) => url),
    nodes: envs.reduce((sum, { BATON_WORKERS = "1" }) => sum + Number(BATON_WORKERS), 0),
    async [Symbol.asyncDispose]() {
      for (const relay of relays) await relay[Symbol.asyncDispose]();
      folder?.[Symbol.dispose]();
    },
  };
}

/** An app in the process of the tests, whose HTTP API is open as that of a relay on loopback is. */
async function appWithNode(env: Env): Promise<EmbeddingApp> {
  const hasKeys = env.BATON_API_KEYS !== undefined;
  const relay = baton({
    env: { ...env, BATON_SHUTDOWN_MS: "50" },
    ...(!hasKeys && { insecure: true }),
  });
  const app = new EmbeddingApp(new Elysia().use(relay));
  await relay.ready;
  return app;
}

/** Makes each call on the next node, and there on whichever worker accepts it. */
export class Caller implements AsyncDisposable {
  readonly #urls: readonly string[];
  readonly #clients: Client[] = [];
  #calls = 0;

  readonly #key: Record<string, string>;

  /** `key` is an API key, where the deployment has one. */
  constructor({ urls }: Pick<Deployment, "urls">, key?: string) {
    this.#urls = urls;
    this.#key = key === undefined ? {} : { "x-api-key": key };
  }

  /** The address of the next node. */
  get url(): string {
    return this.#urls[this.#calls++ % this.#urls.length] as string;
  }

  /** Uses a new connection for each call, because the kernel spreads connections over the workers. */
  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        connection: "close",
        "content-type": "application/json",
        ...this.#key,
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") === true;
    return { status: response.status, text, json: isJson ? JSON.parse(text) : undefined };
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}) {
    return this.call("POST", path, body, headers);
  }

  /** Registers and resolves with the id. */
  async register(user: number | string, topics?: readonly string[]): Promise<string> {
    const { status, text, json } = await this.post("/register", { user_id: user, topics });
    if (status !== 200) throw new Error(`register answered ${status} ${text}`);
    return json.url.slice(-32);
  }

  async open(path: string, headers: Record<string, string> = {}): Promise<Client> {
    const client = await Client.open(this.url.replace(/^http/, "ws") + path, { headers });
    this.#clients.push(client);
    return client;
  }

  /** Connects a client with these topics, and resolves when what any worker publishes to them reaches it. */
  async connect(user: number | string, topics: readonly string[]): Promise<Client> {
    const client = await this.open(`/ws/${await this.register(user, topics)}`);
    await client.settled();
    // Its worker answers this only after it has told its supervisor which topics it follows. A pong may be faster than that.
    await this.call("GET", `/users/${user}/connections`);
    return client;
  }

  /** Connects a client of the JSON format, which may resume, and resolves with the reply to its first command. */
  async follow(id: string, topics: readonly string[], since = {}) {
    const client = await this.open(`/ws/${id}?format=json`);
    client.send({ topics, since });
    return { client, reply: JSON.parse(await client.next()).topics };
  }

  /** Connects a Centrifuge client and subscribes it to a topic. */
  async session(topic: string): Promise<Client> {
    const client = await this.open("/connection/websocket");
    client.send(`{"id":1,"connect":{}}\n{"id":2,"subscribe":{"channel":"${topic}"}}`);
    await client.take(2);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.drop();
  }
}
