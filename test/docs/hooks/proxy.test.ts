// The backend of docs/hooks.md that is asked works as it stands, with a port of the test.
import { expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import { SessionClient } from "../../support/centrifuge/session-client";
import { example } from "../../support/docs/pages";
import { freePort } from "../../support/machine/free-port";
import { startRelay } from "../../support/relay/test-relay";

test("the backend of docs/hooks.md says who a client is, which topic it may have, and answers its calls", async () => {
  const port = String(freePort());
  const servers: Server[] = [];
  const create = (...given: Parameters<typeof createServer>) => {
    const server = createServer(...given);
    servers.push(server);
    return server;
  };
  const program = example("docs/hooks.md", "asked.js").replace(/^import .*$/gm, "");
  new Function("createServer", program.replace("9000", port))(create);
  const url = `http://127.0.0.1:${port}`;
  await using relay = await startRelay({
    BATON_PROXY_CONNECT: `${url}/connect`,
    BATON_PROXY_SUBSCRIBE: `${url}/subscribe`,
    BATON_PROXY_RPC: `${url}/rpc`,
    BATON_PROXY_HEADERS: "Authorization",
  });
  const client = await SessionClient.open(relay, "json", { authorization: "Bearer …".slice(0, 7) });
  expect((await client.ask("connect", {})).connect.client).toBeString();
  expect((await client.ask("subscribe", { channel: "inbox-42" })).subscribe).toBeDefined();
  expect((await client.ask("subscribe", { channel: "inbox-7" })).error.message).toBe(
    "not your inbox",
  );
  expect((await client.ask("rpc", { method: "double", data: 21 })).rpc).toEqual({ data: 42 });
  const nobody = await SessionClient.open(relay);
  nobody.send("connect", {});
  expect(await nobody.closed).toMatchObject({ code: 4501, reason: "unauthorized" });
  client.drop();
  for (const server of servers) server.close();
});
