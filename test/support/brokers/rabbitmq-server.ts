// Debian's RabbitMQ, with ports, data and a node name of its own, so that several can run at once.
import { join } from "node:path";
import { Folder } from "../machine/folder";
import { freePort } from "../machine/free-port";
import { until } from "../wait";
import { BrokerProcess } from "./broker-process";

/** The script that Debian puts on the path changes to a user of its own. */
const PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server";

export class RabbitmqServer extends BrokerProcess {
  readonly url: string;
  /** Of the name server that Erlang starts beside it, which does not end with it. */
  readonly #namesPort: string;

  private constructor(folder: Folder, port: number) {
    const namesPort = String(freePort());
    super(folder, {
      command: [PROGRAM],
      env: {
        HOME: folder.path,
        RABBITMQ_NODENAME: `baton-${port}@localhost`,
        RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
        RABBITMQ_NODE_PORT: String(port),
        RABBITMQ_DIST_PORT: String(freePort()),
        ERL_EPMD_PORT: namesPort,
        RABBITMQ_MNESIA_BASE: join(folder.path, "data"),
        RABBITMQ_LOG_BASE: join(folder.path, "log"),
        RABBITMQ_ENABLED_PLUGINS_FILE: join(folder.path, "plugins"),
        RABBITMQ_CONFIG_FILE: join(folder.path, "rabbitmq"),
        // The script becomes the broker, in place of waiting for it.
        RUNNING_UNDER_SYSTEMD: "1",
      },
      port,
    });
    this.#namesPort = namesPort;
    this.url = `amqp://guest:guest@127.0.0.1:${port}`;
  }

  static async start(): Promise<RabbitmqServer> {
    if (!(await Bun.file(PROGRAM).exists())) throw new Error("apt-get install rabbitmq-server");
    const server = new RabbitmqServer(new Folder(), freePort());
    await server.run();
    return server;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    // It refuses to end while it believes that the broker lives.
    await until("Erlang's name server to end", async () => {
      const { exitCode } = Bun.spawnSync(["epmd", "-port", this.#namesPort, "-kill"]);
      return exitCode === 0;
    });
  }
}
