// NATS with JetStream, built from its module by the Go toolchain: test/go/nats names the version.
import { join } from "node:path";
import { ROOT } from "../docs/pages";
import { outputOf } from "../languages/builds";
import { Folder } from "../machine/folder";
import { freePort } from "../machine/free-port";
import { BrokerProcess } from "./broker-process";

const CONFIGURATION = "nats.conf";

/** By default a message has 1 MiB at most. */
const MESSAGE_BYTES_MAX = 33_554_432;

export class NatsServer extends BrokerProcess {
  static #program: Promise<string> | undefined;
  readonly url: string;

  private constructor(folder: Folder, program: string, port: number) {
    const address = ["-a", "127.0.0.1", "-p", String(port)];
    super(folder, { command: [program, "-c", join(folder.path, CONFIGURATION), ...address], port });
    this.url = `nats://127.0.0.1:${port}`;
  }

  static async start(messageBytesMax = MESSAGE_BYTES_MAX): Promise<NatsServer> {
    const module = join(ROOT, "test/go/nats");
    // Go builds it once, and keeps the program in its cache.
    NatsServer.#program ??= outputOf(["go", "tool", "-n", "nats-server"], module);
    const folder = new Folder();
    const settings = `max_payload: ${messageBytesMax}\njetstream { store_dir: "${folder.path}" }`;
    await Bun.write(join(folder.path, CONFIGURATION), settings);
    const server = new NatsServer(folder, await NatsServer.#program, freePort());
    await server.run();
    return server;
  }
}
