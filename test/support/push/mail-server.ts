// Debian's exim: a real mail server, which takes mails over SMTP and keeps them in its queue.
import { mkdirSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { Folder } from "../machine/folder";
import { freePort } from "../machine/free-port";
import { until } from "../wait";

export class MailServer implements AsyncDisposable {
  readonly #folder = new Folder();
  readonly #child: Bun.Subprocess;
  readonly #config: string;
  readonly port = freePort();

  private constructor() {
    const at = (name: string) => join(this.#folder.path, name);
    for (const name of ["spool", "log"]) mkdirSync(at(name));
    const { uid, gid } = userInfo();
    this.#config = at("exim.conf");
    const lines = [
      "primary_hostname = mail.test",
      `spool_directory = ${at("spool")}`,
      `log_file_path = ${at("log")}/%slog`,
      `pid_file_path = ${at("pid")}`,
      `exim_user = ${uid}`,
      `exim_group = ${gid}`,
      "never_users =",
      "local_interfaces = 127.0.0.1",
      "host_lookup =",
      "tls_advertise_hosts =",
      "keep_environment =",
      "queue_only = true",
      "acl_smtp_rcpt = accept",
      "begin acl",
    ];
    writeFileSync(this.#config, `${lines.join("\n")}\n`);
    const args = ["-C", this.#config, "-bdf", "-oX", `127.0.0.1:${this.port}`];
    this.#child = Bun.spawn([program(), ...args], { stdout: "ignore", stderr: "inherit" });
  }

  /** Resolves when it takes mails. Rejects where Debian's exim4-daemon-light is not installed. */
  static async start(): Promise<MailServer> {
    const server = new MailServer();
    await until("the mail server", () => server.#greets());
    return server;
  }

  /** The mails in its queue, as they came. */
  async mails(): Promise<string[]> {
    const listed = await this.#run(["-bpra"]);
    const ids = [...listed.matchAll(/\b[\w-]{16,23}(?= <)/g)].map(([id]) => id);
    return Promise.all(ids.map((id) => this.#run(["-Mvc", id])));
  }

  async #greets(): Promise<boolean> {
    const greeting = Promise.withResolvers<boolean>();
    try {
      const socket = await Bun.connect({
        hostname: "127.0.0.1",
        port: this.port,
        socket: {
          data: (_, bytes) => greeting.resolve(bytes.toString().startsWith("220")),
          close: () => greeting.resolve(false),
        },
      });
      const isThere = await greeting.promise;
      socket.end("QUIT\r\n");
      return isThere;
    } catch {
      return false;
    }
  }

  async #run(args: readonly string[]): Promise<string> {
    const run = Bun.spawn([program(), "-C", this.#config, ...args], { stderr: "inherit" });
    return run.stdout.text();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
    this.#folder[Symbol.dispose]();
  }
}

function program(): string {
  const found = Bun.which("exim4", { PATH: `${process.env.PATH}:/usr/sbin` });
  if (found === null)
    throw new Error("These tests need Debian's mail server: apt-get install exim4-daemon-light.");
  return found;
}
