// Sessions beyond a limit: the error is temporary if it will pass, and final if the user itself is at its limit.
import { expect, test } from "bun:test";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import { centrifuge } from "../../../src/protocols/centrifuge/json";
import type { Connection } from "../../../src/relay/state/connection";
import { inSeconds, SECRET, token } from "../../support/centrifuge/sdk";
import { SessionClient } from "../../support/centrifuge/session-client";
import { Client } from "../../support/clients/client";
import { FakeSocket, Simulation } from "../../support/relay/simulation";
import { startRelay } from "../../support/relay/test-relay";

/** Connects a session and resolves with its first frame. */
function connect({ relay }: Simulation): FakeSocket {
  const connection = relay.admission.admitSession(centrifuge) as Connection;
  const socket = new FakeSocket();
  relay.open(connection, socket);
  relay.receive(connection, '{"id":1,"connect":{}}');
  return socket;
}

test("a session beyond the limit of all nodes together gets a temporary error, so that its SDK tries again", () => {
  const sim = new Simulation(
    {},
    [],
    (options) => new MemoryEngine({ ...options, connectionsMax: 1 }),
  );
  expect(JSON.parse(connect(sim).frames[0] ?? "").connect).toBeObject();
  const refused = connect(sim);
  expect(refused.frames.map((frame) => JSON.parse(frame))).toMatchObject([
    { id: 1, error: { code: 100, temporary: true } },
  ]);
  expect(refused.closedWith).toBeUndefined();
});

test("a session beyond the limit of its user is closed with 3504, which is final", async () => {
  await using relay = await startRelay({
    BATON_TOKEN_SECRET: SECRET,
    BATON_USER_CONNECTIONS_MAX: "1",
  });
  const signed = await token({ sub: "alice", exp: inSeconds(60) });
  await SessionClient.connect(relay, { token: signed });
  const second = await Client.open(`${relay.url.replace("http", "ws")}/connection/websocket`);
  second.send({ id: 1, connect: { token: signed } });
  expect((await second.closed).code).toBe(3504);
});
