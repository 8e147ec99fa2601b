// Idempotency keys over networks that lose answers. Row A15 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { RawSocket } from "../../support/clients/raw-socket";
import { ResumingSocket } from "../../support/clients/resuming-socket";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** A publish with this key, over a connection of its own. */
const publishWithKey = (url: string, key: string, body: object): Promise<Response> =>
  fetch(`${url}/publish`, {
    method: "POST",
    keepalive: false,
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", "idempotency-key": key },
  });

describe("an idempotency key", () => {
  test("that 50 requests use at once publishes once, with one answer; another body is refused", async () => {
    await using relay = await RelayProcess.start();
    const client = new ResumingSocket({ topics: ["a"], register: () => relay.register("u") });
    await until("the client to be subscribed", () => client.ready);
    for (let round = 1; round <= 20; round++) {
      const body = { topic: "a", message: `m${round}` };
      const other = { topic: "a", message: "other" };
      const posts = Array.from({ length: 55 }, (_, i) =>
        publishWithKey(relay.url, `key-${round}`, i < 50 ? body : other),
      );
      const answers = await Promise.all(posts);
      const texts = await Promise.all(answers.map((answer) => answer.text()));
      const accepted = texts.filter((_, i) => answers[i]?.status === 200);
      const refused = texts.filter((_, i) => answers[i]?.status === 409);
      expect(new Set(accepted).size).toBe(1);
      expect(JSON.parse(accepted[0] ?? "")).toMatchObject({ delivered: 1, offset: round });
      // Whichever body came first was accepted, and only that one.
      expect([accepted.length, refused.length].toSorted()).toEqual([5, 50]);
      expect(refused[0]).toContain("idempotency_conflict");
    }
    expect((await relay.history("a")).publications).toHaveLength(20);
    await until("the client to have everything", () => client.count === 20);
    await client.stop();
  });

  test("makes retries safe when connections are cut at random and answers are lost", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    const url = network.through(relay.url);
    const begun = performance.now();
    for (let i = 0; i < 10; i++) {
      await (await publishWithKey(url, `first-${i}`, { topic: "first", message: "m" })).text();
    }
    // Most requests are quicker than the cut, and some are not.
    network.cutEach(0, performance.now() - begun);
    network.lossRate = 0.3;
    let attempts = 0;
    for (let i = 0; i < 300; i++) {
      for (;;) {
        attempts++;
        const body = { topic: "a", message: `m${i}` };
        const answer = await publishWithKey(url, `key-${i}`, body).catch(() => undefined);
        const text = await answer?.text().catch(() => undefined);
        if (text === undefined) continue;
        expect([answer?.status, JSON.parse(text).offset]).toEqual([200, i + 1]);
        break;
      }
    }
    const { publications } = await relay.history("a");
    const expected = Array.from({ length: 300 }, (_, i) => `m${i}`);
    expect(publications.map(({ data }) => data)).toEqual(expected);
    expect(attempts, `seed ${network.seed}`).toBeGreaterThan(350);
  });

  test("gives the first answer to a retry after the reply was lost", async () => {
    await using relay = await RelayProcess.start();
    const text = '{"topic":"lost","message":"m"}';
    const raw = await RawSocket.open(relay.port);
    raw.pause();
    raw.write(
      `POST /publish HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n` +
        `Idempotency-Key: once\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    );
    await until("it to be published", async () => (await relay.history("lost")).offset === 1);
    raw.reset();
    const retry = await publishWithKey(relay.url, "once", JSON.parse(text));
    expect(await retry.json()).toMatchObject({ delivered: 0, offset: 1 });
    const other = await publishWithKey(relay.url, "once", { topic: "lost", message: "n" });
    expect(other.status).toBe(409);
    expect((await relay.history("lost")).offset).toBe(1);
  });
});
