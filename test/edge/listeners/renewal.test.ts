// A certificate that is renewed while the relay runs: new connections get it, and nothing happens to the others.
import { beforeAll, expect, test } from "bun:test";
import { copyFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { readSettings } from "../../../src/settings/read";
import { SessionClient } from "../../support/centrifuge/session-client";
import { EventStream } from "../../support/clients/event-stream";
import { RawSocket } from "../../support/clients/raw-socket";
import { type IssuedCertificate, nameOf, trustedAuthority } from "../../support/machine/authority";
import { Folder } from "../../support/machine/folder";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let issued: Record<"first" | "second" | "third", IssuedCertificate>;
beforeAll(() => {
  const authority = trustedAuthority();
  const issue = (name: string) => authority.issue(name);
  issued = { first: issue("first"), second: issue("second"), third: issue("third") };
});

/** A relay whose certificate can be replaced, as SIGHUP does. */
class RenewedRelay implements AsyncDisposable {
  readonly folder = new Folder();
  readonly cert = join(this.folder.path, "cert");
  readonly key = join(this.folder.path, "key");
  readonly topics = join(this.folder.path, "topics");
  relay!: TestRelay;

  static async start(rules = {}): Promise<RenewedRelay> {
    const renewed = new RenewedRelay();
    renewed.#install("first");
    writeFileSync(renewed.topics, JSON.stringify(rules));
    renewed.relay = await startRelay(renewed.env);
    return renewed;
  }

  get env() {
    const { cert, key, topics } = this;
    return { BATON_TLS_CERT: cert, BATON_TLS_KEY: key, BATON_TOPICS_FILE: topics };
  }

  /** Puts this certificate in place of the last one. */
  async renew(name: keyof typeof issued): Promise<void> {
    this.#install(name);
    await this.reload();
  }

  async reload(): Promise<void> {
    await this.relay.running.reloads.take(
      readSettings({ PORT: "0", BATON_SHUTDOWN_MS: "50", ...this.env }),
    );
  }

  #install(name: keyof typeof issued): void {
    copyFileSync(issued[name].cert, this.cert);
    copyFileSync(issued[name].key, this.key);
  }

  /** The names in the certificates that so many new connections get. */
  async namesOfNew(count: number): Promise<Set<string>> {
    const names = Array.from({ length: count }, () => nameOf(this.relay.port));
    return new Set(await Promise.all(names));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.relay[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}

test("all new connections get the new certificate, as often as it is renewed", async () => {
  await using renewed = await RenewedRelay.start();
  expect(await renewed.namesOfNew(20)).toEqual(new Set(["first"]));
  await renewed.renew("second");
  expect(await renewed.namesOfNew(50)).toEqual(new Set(["second"]));
  await renewed.renew("third");
  await renewed.renew("first");
  expect(await renewed.namesOfNew(50)).toEqual(new Set(["first"]));
});

test("sockets and streams of before and after get every publication once and in order", async () => {
  await using renewed = await RenewedRelay.start();
  const { relay } = renewed;
  const clients = [await relay.connect("first", ["news"])];
  const stream = await EventStream.open((await relay.registration("stream", ["news"])).sse);
  await relay.publish("news", "1");
  for (const name of ["second", "third"] as const) {
    await renewed.renew(name);
    clients.push(await relay.connect(name, ["news"]));
    await relay.publish("news", name);
  }
  const published = ["1", "second", "third"];
  for (const [i, client] of clients.entries()) {
    for (const message of published.slice(i)) expect(await client.next()).toBe(message);
    expect(await client.rest()).toEqual([]);
  }
  for (const message of published) expect((await stream.next()).data).toBe(message);
  stream.close();
});

test("a client that takes deltas, and was not to get a publication, gets the next ones once", async () => {
  await using renewed = await RenewedRelay.start({ "scores:": { delta: true } });
  const { relay } = renewed;
  const session = await SessionClient.connect(relay);
  await session.ask("subscribe", { channel: "scores:a", delta: "fossil" });
  const other = await SessionClient.connect(relay, { topics: ["scores:a"] });
  await renewed.renew("second");
  await relay.post("/publish", { topic: "scores:a", message: "not for it", except: session.id });
  await relay.publish("scores:a", "once");
  await relay.publish("scores:a", "again");
  for (const message of ["once", "again"]) {
    expect((await session.next()).pub.data).toBe(JSON.stringify(message));
  }
  expect(await session.rest()).toEqual([]);
  for (const message of ["not for it", "once", "again"]) {
    expect((await other.next()).pub.data).toBe(message);
  }
});

test("an idle HTTP connection goes on, and can become a socket that gets publications", async () => {
  await using renewed = await RenewedRelay.start();
  const { relay } = renewed;
  const raw = await RawSocket.reach(relay.url);
  const get = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
  raw.write(get);
  await raw.until("\r\n\r\n");
  await renewed.renew("second");
  raw.write(get);
  await raw.until("HTTP/1.1 200");
  const { pathname } = new URL((await relay.registration("raw", ["news"])).url);
  raw.write(
    `GET ${pathname} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  await raw.until("HTTP/1.1 101");
  await raw.until("\r\n\r\n");
  expect(await relay.publish("news", "hello")).toBe(1);
  expect((await raw.nextFrame()).payload.toString()).toBe("hello");
  raw.drop();
});

test("no request fails while the certificate is renewed again and again", async () => {
  await using renewed = await RenewedRelay.start();
  const { port } = renewed.relay;
  const failures: string[] = [];
  let answered = 0;
  let isOver = false;
  const post = (agent: Agent) =>
    new Promise<void>((resolve) => {
      const sent = request(
        { port, host: "127.0.0.1", path: "/publish", method: "POST", agent },
        (answer) => {
          if (answer.statusCode === 200) answered++;
          answer.resume().on("end", resolve);
        },
      );
      sent.on("error", (error) => {
        failures.push(error.message);
        resolve();
      });
      sent.setHeader("content-type", "application/json");
      sent.end('{"topic":"news","message":"x"}');
    });
  const kept = new Agent({ keepAlive: true, maxSockets: 4 });
  const publishers = Array.from({ length: 8 }, async (_, i) => {
    const agent = i < 4 ? kept : new Agent({ keepAlive: false, maxCachedSessions: 0 });
    while (!isOver) await post(agent);
  });
  const names = ["second", "third", "first"] as const;
  for (let i = 0; i < 9; i++) {
    const before = answered;
    await renewed.renew(names[i % 3] as "first");
    while (answered < before + 16 && failures.length === 0) await Bun.sleep(1);
  }
  isOver = true;
  await Promise.all(publishers);
  expect(failures).toEqual([]);
  kept.destroy();
});

test("a publisher that must not get its own publication does not, whichever certificate others have", async () => {
  await using renewed = await RenewedRelay.start();
  const { relay } = renewed;
  const before = await relay.connect("before", ["news"]);
  const own = await relay.connect("own", ["news"]);
  await renewed.renew("second");
  const after = await relay.connect("after", ["news"]);
  const [, publisher] = [...relay.running.relay.connections.all()];
  await relay.running.relay.publisher.publish({
    topic: "news",
    data: "not for its publisher",
    except: publisher?.id,
  } as never);
  await relay.publish("news", "for all");
  for (const client of [before, after]) expect(await client.next()).toBe("not for its publisher");
  for (const client of [before, own, after]) expect(await client.next()).toBe("for all");
});

test("files that cannot be used change nothing, and the same files start nothing new", async () => {
  await using renewed = await RenewedRelay.start();
  copyFileSync(issued.second.cert, renewed.cert);
  expect(renewed.reload()).rejects.toThrow("it is not the key of the certificate");
  writeFileSync(renewed.cert, "");
  expect(renewed.reload()).rejects.toThrow("it has no certificate in PEM");
  expect(await renewed.namesOfNew(10)).toEqual(new Set(["first"]));
  await renewed.renew("first");
  expect(renewed.relay.log.join()).not.toContain("new TLS certificate");
});

test("a second relay cannot listen on the same port, with TLS or without", async () => {
  await using renewed = await RenewedRelay.start();
  const PORT = String(renewed.relay.port);
  expect(startRelay({ ...renewed.env, PORT })).rejects.toThrow("in use");
  expect(startRelay({ PORT })).rejects.toThrow("in use");
});
