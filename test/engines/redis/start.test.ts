// A Redis that Baton cannot use ends the start with one line and exit code 1: row G11 of the fault catalogue. A Redis that is only
// away does not: row G1.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { RedisClient } from "bun";
import { Client } from "../../support/clients/client";
import { RedisServer } from "../../support/engines/redis-server";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

// Several processes start one after the other, on a machine that may be busy.
setDefaultTimeout(120_000);

/** A server that answers HELLO, and INFO with this. */
function impostor(info: string | undefined): { url: string } & Disposable {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, bytes) {
        for (const [, name = ""] of bytes.toString().matchAll(/\r\n(HELLO|INFO|PING)\r\n/gi)) {
          if (name === "PING") socket.write("+PONG\r\n");
          else if (info === undefined) socket.write(`-ERR unknown command \`${name}\`\r\n`);
          else if (name === "HELLO") socket.write("%1\r\n$5\r\nproto\r\n:3\r\n");
          else socket.write(`$${info.length}\r\n${info}\r\n`);
        }
      },
    },
  });
  return { url: `redis://127.0.0.1:${server.port}`, [Symbol.dispose]: () => server.stop(true) };
}

/** The one line that a failed start writes. */
async function failure(env: Record<string, string>): Promise<string> {
  await using relay = new RelayProcess(env);
  expect(await relay.ended()).toBe(1);
  expect(relay.output).toBe("");
  expect(relay.errors).toMatch(/^baton: BATON_ENGINE: Redis at 127\.0\.0\.1:\d+[^\n]*\.\n$/);
  return relay.errors;
}

describe("a start with a Redis that Baton cannot use", () => {
  test.each(["1", "2"])(
    "G11: a wrong password ends the start with one line that does not show it (%s workers)",
    async (BATON_WORKERS) => {
      await using server = await RedisServer.start({ password: "geheim" });
      const url = `redis://:falsch@127.0.0.1:${server.port}`;
      const line = await failure({ BATON_ENGINE: url, BATON_WORKERS });
      expect(line).toContain("WRONGPASS");
      expect(line).not.toContain("falsch");
    },
  );

  test("G11: a missing password ends the start with one line", async () => {
    await using server = await RedisServer.start({ password: "geheim" });
    const url = `redis://127.0.0.1:${server.port}`;
    expect(await failure({ BATON_ENGINE: url })).toContain("NOAUTH");
  });

  test("G11: missing rights end the start with one line", async () => {
    await using server = await RedisServer.start();
    await server.command(
      "ACL",
      "SETUSER",
      "weak",
      "on",
      ">pw",
      "~*",
      "&*",
      "+@read",
      "+hello",
      "+ping",
    );
    const at = `127.0.0.1:${server.port}`;
    expect(await failure({ BATON_ENGINE: `redis://weak:pw@${at}` })).toContain("NOPERM");
    // It also fails with all rights but those for channels.
    await server.command("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "resetchannels", "+@all");
    expect(await failure({ BATON_ENGINE: `redis://deaf:pw@${at}` })).toContain("NOPERM");
  });

  test("G11: a node of a Redis Cluster ends the start with one line", async () => {
    await using server = await RedisServer.start({ args: ["--cluster-enabled", "yes"] });
    expect(await failure({ BATON_ENGINE: server.url })).toContain("Redis Cluster");
  });

  test("G11: an unknown database ends the start with one line, also as one of several servers", async () => {
    await using server = await RedisServer.start();
    const bad = `${server.url}/99`;
    expect(await failure({ BATON_ENGINE: bad })).toContain("DB index is out of range");
    expect(await failure({ BATON_ENGINE: `${server.url},${bad}` })).toContain("/99: ERR DB index");
  });

  test("G11: a Redis that is too old ends the start with one line", async () => {
    using old = impostor("redis_version:6.0.16\r\nredis_mode:standalone\r\nrun_id:x\r\n");
    expect(await failure({ BATON_ENGINE: old.url })).toContain("version 6.0.16; Baton needs 6.2");
    using older = impostor(undefined);
    expect(await failure({ BATON_ENGINE: older.url })).toContain("HELLO");
  });

  test("G11: data that a newer Baton keeps ends the start with one line, and is left alone", async () => {
    await using server = await RedisServer.start();
    const client = new RedisClient(server.url);
    await client.send("SET", ["baton:format", "2"]);
    expect(await failure({ BATON_ENGINE: server.url })).toContain("its data is of a newer Baton");
    expect(await client.send("KEYS", ["*"])).toEqual(["baton:format"]);
    client.close();
  });
});

test("G1: a relay starts without its Redis, answers 503, and serves when it is there", async () => {
  await using server = await RedisServer.absent();
  await using relay = await RelayProcess.start({ BATON_ENGINE: server.url });
  const health = async () => (await fetch(`${relay.url}/health`)).status;
  expect(await health()).toBe(503);
  for (const [path, body] of [
    ["/register", { user_id: 1 }],
    ["/publish", { topic: "tech", message: "m" }],
  ] as const) {
    const answer = await relay.post(path, body);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: { code: "engine_unavailable" } });
  }
  await server.run();
  await until("it to be healthy", async () => (await health()) === 200);
  const client = await Client.open(await relay.register());
  await relay.post("/publish", { topic: "tech", message: "m" });
  expect(await client.next()).toBe("m");
  client.drop();
});
