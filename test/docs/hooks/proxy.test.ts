// The backend of docs/hooks.md that is asked works as it stands, with a port of the test.
import { expect, test } from "bun:test";
import { createServer, type Server } from "node:http";
import { Centrifuge } from "centrifuge";
import { recordEvents } from "../../support/centrifuge/sdk";
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
    BATON_PROXY_EMULATED_HEADERS: "Authorization",
  });
  const client = await SessionClient.open(relay, "json", { authorization: "Bearer 42" });
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
  const asking = example("docs/hooks.md", "asking.js").replace(/^import .*$/gm, "");
  const run = new Function(
    "Centrifuge",
    "console",
    `return (async () => {${asking} return client;})()`,
  );
  const printed: unknown[] = [];
  const own = class extends Centrifuge {
    constructor(_: string, options: object) {
      super(`${relay.url.replace("http", "ws")}/connection/websocket`, options);
    }
  };
  const sdk: Centrifuge = await run(own, { log: (value: unknown) => printed.push(value) });
  expect(printed).toEqual([42]);
  const inbox = sdk.getSubscription("inbox-42");
  await inbox?.ready();
  const published = inbox && recordEvents(inbox, "publication").next();
  await relay.publish("inbox-42", "hello");
  expect((await published)?.data).toBe("hello");
  expect(printed).toEqual([42, "hello"]);
  sdk.disconnect();
  for (const server of servers) server.close();
});
