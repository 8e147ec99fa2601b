// Kafka in one process, without ZooKeeper: the jars of test/java/kafka, run by Debian's Java.
import { join } from "node:path";
import { ROOT } from "../docs/pages";
import { outputOf } from "../languages/builds";
import { Folder } from "../machine/folder";
import { freePort } from "../machine/free-port";
import { BrokerProcess } from "./broker-process";

/** It needs 0.35 GB in all, and compiles no more than it must, to start sooner. */
const JVM = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/** An id of 16 bytes in base64, as Kafka's tools make them. It is always the same one, because the tool takes an id that begins with "-" for an option. */
const CLUSTER = Buffer.from("a test of Baton.").toString("base64url");

export class KafkaServer extends BrokerProcess {
  static #classPath: Promise<string> | undefined;
  /** Its address, as clients are given it. */
  readonly broker: string;

  private constructor(folder: Folder, classPath: string, port: number) {
    super(folder, {
      command: ["java", ...JVM, "-cp", classPath, "kafka.Kafka", join(folder.path, "properties")],
      port,
    });
    this.broker = `127.0.0.1:${port}`;
  }

  static async start(): Promise<KafkaServer> {
    KafkaServer.#classPath ??= findJars();
    const classPath = await KafkaServer.#classPath;
    const folder = new Folder();
    const [port, controller] = [freePort(), freePort()];
    const file = join(folder.path, "properties");
    await Bun.write(file, properties(folder.path, port, controller));
    const format = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", file];
    await outputOf(["java", ...JVM, "-cp", classPath, ...format], folder.path);
    const server = new KafkaServer(folder, classPath, port);
    await server.run();
    return server;
  }
}

/** Maven keeps the jars in its cache. */
async function findJars(): Promise<string> {
  using folder = new Folder();
  const file = join(folder.path, "jars");
  const goal = ["dependency:build-classpath", `-Dmdep.outputFile=${file}`];
  await outputOf(["mvn", "-q", "-B", ...goal], join(ROOT, "test/java/kafka"));
  return await Bun.file(file).text();
}

function properties(folder: string, port: number, controller: number): string {
  return Object.entries({
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.quorum.voters": `1@127.0.0.1:${controller}`,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    "advertised.listeners": `PLAINTEXT://127.0.0.1:${port}`,
    "log.dirs": join(folder, "logs"),
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "message.max.bytes": 20_000_000,
  })
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
}
