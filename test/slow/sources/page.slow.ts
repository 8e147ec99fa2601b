// docs/sources.md, as a newcomer would follow it: from the DDL to a row that a client in a browser would get.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { sourcesIn } from "../../../src/sources/declarations";
import { example } from "../../support/docs/pages";
import { Shell } from "../../support/docs/shell";
import { Folder } from "../../support/machine/folder";
import { freePort } from "../../support/machine/free-port";
import { PostgresServer } from "../../support/sources/postgres-server";
import { until } from "../../support/wait";

const PAGE = "docs/sources.md";

test("docs/sources.md leads from the DDL to a row that a client gets", async () => {
  await using server = await PostgresServer.start();
  await using shell = new Shell();
  using folder = new Folder();
  const port = freePort();
  const psql = {
    PGHOST: "127.0.0.1",
    PGPORT: String(server.port),
    PGUSER: "postgres",
    PGDATABASE: "postgres",
  };
  const run = async (script: string) => {
    const started = shell.start(script, psql);
    expect(await started.ended(), started.errors).toBe(0);
  };
  await run(example(PAGE, "ddl.sh"));
  await run(example(PAGE, "role.sh"));
  const file = example(PAGE, "sources.json").replace("5432", String(server.port));
  await Bun.write(join(folder.path, "sources.json"), file);
  const start = example(PAGE, "start.sh")
    .replace("=sources.json", `=${join(folder.path, "sources.json")}`)
    .replace("sqlite:baton.db", `sqlite:${join(folder.path, "baton.db")}`);
  const relay = shell.start(start, { PORT: String(port) });
  await until("the relay to listen", () => relay.output.includes("Baton listens on"));

  const url = `http://127.0.0.1:${port}`;
  const registered = await fetch(`${url}/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"user_id":42,"topics":["tech","orders:7"]}',
  });
  const client = new WebSocket(((await registered.json()) as { url: string }).url);
  const received: string[] = [];
  client.onmessage = ({ data }) => received.push(data);
  await until("the client to connect", () => client.readyState === WebSocket.OPEN);
  await run(example(PAGE, "insert.sh"));
  await until("the row", () => received.length === 1);
  await run(`psql -q <<'EOF'\n${example(PAGE, "transaction.sql")}\nEOF`);
  await until("the row of the transaction", () => received.length === 2);
  expect(received).toEqual(["hello from psql", '{"state":"paid"}']);
  const health = await fetch(`${url}/health/sources`);
  expect(await health.json()).toEqual({
    sources: [expect.objectContaining({ name: "shop", kind: "postgresql", state: "reading" })],
  } as never);
  client.close();
});

test("the mapping of docs/sources.md is one", () => {
  const [source] = sourcesIn(JSON.parse(example(PAGE, "mapping.json")), () => undefined);
  expect(source?.mapping).toMatchObject({ topic: "orders:{after.id}" });
});

test.each([
  ["kafka", example(PAGE, "kafka.json")],
  ["nats", example(PAGE, "nats.json")],
  ["rabbitmq", example(PAGE, "rabbitmq.json")],
])("the source %s of docs/sources.md is one", (kind, file) => {
  const [source] = sourcesIn(JSON.parse(file), () => "secret");
  expect(source?.kind).toBe(kind);
});
