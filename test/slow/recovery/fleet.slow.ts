// Recovery over real networks that fail: resuming clients of every kind must receive everything once and in order.
// Rows C5, C8, E3 and H1 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import { Fleet } from "../../support/clients/fleet";
import { inFull } from "../../support/in-full";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { publishAtRate, randomMessages } from "../../support/relay/messages";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const TOPICS = ["a", "b"];

/** Of the storm of an hour in a minute. */
const MINUTES = inFull(60, 15);

describe("resuming clients receive every publication once and in order", () => {
  test("120 clients over a network that cuts connections at random, of 1,500 publications", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
    await using network = await TcpProxy.start(relay.url);
    const { through, random } = network;
    const fleet = await Fleet.connect(relay, 40, { topics: TOPICS, through });
    const messages = randomMessages(1_500, { topics: TOPICS, users: fleet.users, random });
    network.cutEach(20, 800);
    await publishAtRate(relay, messages, 300);
    await network.untilCut(1_000);
    await fleet.expectAll(messages, `seed ${network.seed}`);
    expect(relay.loggedErrors).toEqual([]);
  });

  test(`1,000 clients with the lost connections of ${MINUTES} minutes within as many seconds, of ${MINUTES * 20} publications`, async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
    await using network = await TcpProxy.start(relay.url);
    const { through, random } = network;
    const fleet = await Fleet.connect(relay, 334, { topics: TOPICS, through });
    const messages = randomMessages(MINUTES * 20, { topics: TOPICS, users: fleet.users, random });
    // As if each connection lasted about five minutes.
    network.cutEach(200, 10_000);
    await publishAtRate(relay, messages, 20);
    await network.untilCut((MINUTES * 8_000) / 60);
    await fleet.expectAll(messages, `seed ${network.seed}`);
    expect(relay.loggedErrors).toEqual([]);
  });

  test("E3: 2,000 clients that all drop and reconnect at once, twice, while publishing goes on", async () => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "2000" });
    const fleet = await Fleet.connect(relay, 667, { topics: TOPICS });
    const random = Math.random;
    const messages = randomMessages(200, { topics: TOPICS, users: fleet.users, random });
    const publishing = publishAtRate(relay, messages, 25);
    for (const drops of [1, 2]) {
      const havePart = () => fleet.every(({ count }) => count > 25 * drops);
      await until("all clients to have a part", havePart);
      fleet.dropAll();
      const areBack = () =>
        fleet.every(({ connectionsLost, ready }) => connectionsLost >= drops && ready);
      await until("all clients to be subscribed again", areBack);
    }
    await publishing;
    await fleet.expectAll(messages);
    expect(relay.loggedErrors).toEqual([]);
  });

  test("H1: 30 clients after a network that went dead silently, then over a slow one, of 600 publications", async () => {
    await using relay = await RelayProcess.start({
      BATON_LOG_LEVEL: "debug",
      BATON_PING_MS: "300",
      BATON_PONG_MS: "300",
      BATON_HISTORY_SIZE: "2000",
      BATON_BACKPRESSURE_BYTES: "16384",
    });
    await using network = await TcpProxy.start(relay.url);
    const { through, random } = network;
    const fleet = await Fleet.connect(relay, 10, { topics: TOPICS, through });
    network.stall();
    const users = fleet.users;
    const messages = randomMessages(600, { topics: TOPICS, users, random }).map((one) => ({
      ...one,
      message: one.message + "x".repeat(200),
    }));
    await publishAtRate(relay, messages.slice(0, 500), 1_000);
    // The sockets alone: what the kernel accepts for the streams looks like life.
    const closedForNoPong = () => relay.lines.filter(({ code }) => code === 4012).length;
    // With the ping and pong of the defaults it would take 35 s.
    await until("the relay to close the sockets", () => closedForNoPong() >= 20, 20_000);
    network.bytesPerSecond = 60_000;
    network.heal();
    network.cutAll();
    await publishAtRate(relay, messages.slice(500), 50);
    await fleet.expectAll(messages, `seed ${network.seed}`);
    expect(relay.loggedErrors).toEqual([]);
  });
});
