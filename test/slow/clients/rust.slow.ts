// The SDK for Rust, in both forms of the protocol, over a network that cuts connections. It subscribes again by itself but does not
// recover what it missed, so it is tested apart from the official SDKs.
import { expect, test } from "bun:test";
import { canRun, sdkCommands } from "../../support/centrifuge/sdk-builds";
import { SdkProgram } from "../../support/centrifuge/sdk-program";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { publishAtRate, randomMessages } from "../../support/relay/messages";
import { RelayProcess } from "../../support/relay/relay-process";

const commandOf = sdkCommands(["tokio-centrifuge"]);

const TOPICS = ["a", "b"];
const CLIENTS = Array.from({ length: 40 }, () => ({}));
const PER_SECOND = 300;

for (const form of ["json", "protobuf"] as const) {
  test.skipIf(!canRun("tokio-centrifuge"))(
    `40 clients of tokio-centrifuge in ${form} reconnect whenever the network cuts them, and receive nothing twice or out of order`,
    async () => {
      await using relay = await RelayProcess.start();
      await using network = await TcpProxy.start(relay.url);
      const options = { url: network.through(relay.url), topics: TOPICS, clients: CLIENTS, form };
      await using program = new SdkProgram(commandOf("tokio-centrifuge"), options);
      const { random } = network;
      const subscriptions = (client: number) => program.of(client, "subscribed").length;
      const areSubscribed = () => CLIENTS.every((_, i) => subscriptions(i) >= TOPICS.length);
      await program.until("all clients to be subscribed", areSubscribed);
      network.cutEach(20, 800);
      await publishAtRate(relay, randomMessages(900, { topics: TOPICS, random }), PER_SECOND);
      await network.untilCut(100);
      await allReceive(program, relay);
      for (let i = 0; i < 20; i++) {
        await relay.post("/publish", { topic: "a", message: `last ${i}` });
      }
      const haveLast = () => CLIENTS.every((_, i) => textsOf(program, i).includes("last 19"));
      await program.until("all clients to have the last message", haveLast);
      for (const client of CLIENTS.keys()) {
        const name = `client ${client}, seed ${network.seed}`;
        const last = textsOf(program, client).filter((text) => text.startsWith("last"));
        expect(last, name).toEqual(Array.from({ length: 20 }, (_, i) => `last ${i}`));
        for (const topic of TOPICS) {
          const offsets = offsetsOf(program, client, topic);
          expect(offsets, name).toEqual([...new Set(offsets)].sort((x, y) => x - y));
        }
        expect(program.of(client, "disconnected"), name).toEqual([]);
      }
      expect(relay.loggedErrors).toEqual([]);
    },
  );
}

/**
 * Publishes until each client has received something of every topic. Its events do not say so: the SDK may report a subscription
 * only when the next connection has begun.
 */
async function allReceive(program: SdkProgram, relay: RelayProcess): Promise<void> {
  const has = (client: number, topic: string) =>
    program
      .of(client, "publication")
      .some((one) => one.topic === topic && one.data === "connected again");
  await program.until("all to be connected again", async () => {
    for (const topic of TOPICS) await relay.publish(topic, "connected again");
    return TOPICS.every((topic) => CLIENTS.every((_, i) => has(i, topic)));
  });
}

const textsOf = (program: SdkProgram, client: number): string[] =>
  program.of(client, "publication").map(({ data }) => data);

const offsetsOf = (program: SdkProgram, client: number, topic: string): number[] =>
  program
    .of(client, "publication")
    .filter((one) => one.topic === topic)
    .map(({ offset }) => offset as number);
