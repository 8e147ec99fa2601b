// Two nodes over Redis under load while Redis or a node is stopped, killed or emptied. What was acknowledged is delivered or
// recovered, or its clients are told that it is lost; nothing comes twice, and everything in order. Rows F2, F11, G2 to G6
// and G8 of the fault catalogue. BATON_SEED repeats the random times, though not the machine.
import { afterEach, describe, test } from "bun:test";
import { RedisServer, type RedisServerOptions } from "../../support/engines/redis-server";
import { inFull } from "../../support/in-full";
import { childrenOf } from "../../support/machine/processes";
import { type Expectations, LoadedCluster } from "../../support/relay/loaded-cluster";
import type { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const running: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

/** A cluster over new Redis servers, one for each of these options. */
async function clusterOver(
  options: readonly RedisServerOptions[],
  env: Record<string, string> = {},
) {
  const servers = await Promise.all(options.map((one) => RedisServer.start(one)));
  running.push(...servers);
  const cluster = await LoadedCluster.start(servers, env);
  running.push(cluster);
  return { cluster, servers: servers as [RedisServer, ...RedisServer[]] };
}

/** Lets the load go on for a while after the last fault, and compares. */
async function expectNothingElseWrong(
  cluster: LoadedCluster,
  expectations?: Expectations,
): Promise<void> {
  await cluster.pause(500, 1_000);
  await cluster.check(expectations);
}

/** How often data is lost; each client has received something before. */
const LOSSES = inFull(6, 3);

/** Each client is told of each loss of data. */
const eachLossPerClient = ({ journals }: LoadedCluster): Expectations => ({
  lossesMin: journals.length * LOSSES,
  plainClients: "may have gaps",
});

const DURABLE: RedisServerOptions = { durable: true };
const FLEETING: RedisServerOptions = { durable: false };

describe("two nodes over Redis lose and double nothing that was acknowledged", () => {
  test("G4: while Redis is stopped for five seconds, twice", async () => {
    const { cluster, servers } = await clusterOver([DURABLE]);
    for (let round = 0; round < 2; round++) {
      await cluster.pause(500, 2_000);
      servers[0].signal("SIGSTOP");
      await Bun.sleep(5_000);
      servers[0].signal("SIGCONT");
    }
    await cluster.pause(500, 2_000);
    await cluster.check();
  });

  test("G2, G3: while Redis is killed and started again with its data, again and again", async () => {
    const { cluster, servers } = await clusterOver([DURABLE]);
    for (let round = 0; round < inFull(8, 4); round++) {
      await cluster.pause(200, 1_200);
      await servers[0].kill();
      await cluster.pause(0, 400);
      await servers[0].run();
    }
    await expectNothingElseWrong(cluster);
  });

  test("G2, G3: while one of two Redis servers is killed and started again, each in turn", async () => {
    const { cluster, servers } = await clusterOver([DURABLE, DURABLE]);
    for (let round = 0; round < inFull(6, 3); round++) {
      const server = servers[round % 2] as RedisServer;
      await cluster.pause(200, 1_200);
      await server.kill();
      await cluster.pause(0, 400);
      await server.run();
    }
    await expectNothingElseWrong(cluster);
  });

  test("G8: while connections to Redis are cut, those of calls and those of subscriptions", async () => {
    const { cluster, servers } = await clusterOver([FLEETING]);
    for (let round = 0; round < inFull(20, 10); round++) {
      await cluster.pause(50, 400);
      const type = cluster.random() < 0.5 ? "normal" : "pubsub";
      await servers[0].command("CLIENT", "KILL", "TYPE", type);
    }
    await expectNothingElseWrong(cluster);
  });

  test("F2: while a node is killed and started again, each in turn", async () => {
    const { cluster } = await clusterOver([FLEETING]);
    for (let round = 0; round < inFull(6, 3); round++) {
      await cluster.pause(300, 1_200);
      await cluster.killNode(round % 2);
      await cluster.pause(0, 300);
      await cluster.startNode(round % 2);
    }
    await expectNothingElseWrong(cluster, { plainClients: "may have gaps" });
  });

  test("F11: while all workers of both nodes are replaced, again and again", async () => {
    const env = { BATON_WORKERS: "2", BATON_SHUTDOWN_MS: "300" };
    const { cluster } = await clusterOver([FLEETING], env);
    for (let round = 0; round < inFull(4, 2); round++) {
      await cluster.pause(200, 800);
      await replaceWorkersOf(cluster.nodes[round % 2] as RelayProcess);
    }
    await expectNothingElseWrong(cluster, { plainClients: "may have gaps" });
  });

  test("F2, F8: while workers of nodes with two workers are killed, one after the other", async () => {
    const { cluster } = await clusterOver([FLEETING], { BATON_WORKERS: "2" });
    for (let round = 0; round < inFull(6, 3); round++) {
      await cluster.pause(300, 1_200);
      const workers = await childrenOf((cluster.nodes[round % 2] as RelayProcess).pid);
      const victim = workers[Math.floor(cluster.random() * workers.length)] as number;
      process.kill(victim, "SIGKILL");
    }
    await expectNothingElseWrong(cluster, { plainClients: "may have gaps" });
  });
});

describe("two nodes over Redis tell their clients of each loss, and then lose and double nothing", () => {
  test("G3, G5: when Redis is killed and started again without its data, again and again", async () => {
    const { cluster, servers } = await clusterOver([FLEETING]);
    for (let round = 0; round < LOSSES; round++) {
      await cluster.untilAllReceive();
      await cluster.pause(0, 500);
      await servers[0].kill();
      await cluster.pause(0, 400);
      await servers[0].run();
      await cluster.untilEachLost(round + 1);
    }
    await expectNothingElseWrong(cluster, eachLossPerClient(cluster));
  });

  test("G6: when everything in Redis is deleted, again and again", async () => {
    const { cluster, servers } = await clusterOver([FLEETING]);
    for (let round = 0; round < LOSSES; round++) {
      await cluster.untilAllReceive();
      await cluster.pause(0, 500);
      await servers[0].command("FLUSHALL");
      await cluster.untilEachLost(round + 1);
    }
    await expectNothingElseWrong(cluster, eachLossPerClient(cluster));
  });
});

async function replaceWorkersOf(node: RelayProcess): Promise<void> {
  const before = await childrenOf(node.pid);
  node.signal("SIGHUP");
  const areNew = async () => {
    const now = await childrenOf(node.pid);
    return now.length === 2 && now.every((pid) => !before.includes(pid));
  };
  await until("all workers to be new", areNew);
}
