// A PostgreSQL server for tests, of Debian's packages, in a folder of its own and on a port of its own.
import { copyFileSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { SQL } from "bun";
import type { IssuedCertificate } from "../machine/authority";
import { Folder } from "../machine/folder";
import { freePort } from "../machine/free-port";
import { childrenOf } from "../machine/processes";
import { giveAway, unprivileged } from "../machine/unprivileged";
import { until } from "../wait";

const MISSING = "postgres is not installed, and this test needs it: apt-get install postgresql";

/** Where Debian has the programs of the newest version that is installed. */
function programs(): string {
  const root = "/usr/lib/postgresql";
  const versions = existsSync(root) ? readdirSync(root).toSorted() : [];
  const newest = versions.at(-1);
  if (newest === undefined) throw new Error(MISSING);
  return join(root, newest, "bin");
}

export class PostgresServer implements AsyncDisposable {
  readonly port = freePort();
  readonly #folder = new Folder();
  readonly #programs = programs();
  #child: Bun.Subprocess | undefined;

  readonly #arguments: string[] = [];

  private constructor() {}

  /** Starts a server and resolves when it accepts connections; with a certificate, also such with TLS. */
  static async start(certificate?: IssuedCertificate): Promise<PostgresServer> {
    const server = new PostgresServer();
    giveAway(server.#folder.path);
    for (const [name, path] of Object.entries(certificate ?? {})) {
      const own = join(server.#folder.path, name);
      copyFileSync(path, own);
      giveAway(own);
      server.#arguments.push("-c", `ssl_${name}_file=${own}`);
    }
    if (certificate !== undefined) server.#arguments.push("-c", "ssl=on");
    const made = Bun.spawnSync(
      unprivileged([
        join(server.#programs, "initdb"),
        ...["-D", server.#data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"],
        "--locale=C.UTF-8",
      ]),
    );
    if (!made.success) throw new Error(`initdb failed: ${made.stderr}`);
    await server.run();
    return server;
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  /** Makes a database, and resolves with its address. */
  async database(): Promise<string> {
    const name = `db_${crypto.randomUUID().replaceAll("-", "")}`;
    const sql = new SQL(this.url, { max: 1 });
    await sql.unsafe(`CREATE DATABASE ${name}`);
    await sql.close();
    return this.url.replace(/postgres$/, name);
  }

  /** Starts it, unless it runs, for the first time or after it was killed. */
  async run(): Promise<void> {
    if (this.#child?.killed === false) return;
    // A postmaster that was killed leaves this behind, and its children a moment later than itself.
    this.#child = Bun.spawn(
      unprivileged([
        join(this.#programs, "postgres"),
        ...["-D", this.#data, "-p", String(this.port), "-k", this.#folder.path],
        ...["-c", "listen_addresses=127.0.0.1", ...this.#arguments],
      ]),
      { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    );
    await until("PostgreSQL to answer", async () => {
      if (this.#child?.killed !== false) await this.#again();
      return this.#answers();
    });
  }

  /** Kills it with all its sessions, as a crash of the machine would. */
  async kill(): Promise<void> {
    const { pid = 0 } = this.#child ?? {};
    const children = await childrenOf(pid).catch(() => []);
    this.#child?.kill("SIGKILL");
    for (const child of children) {
      try {
        process.kill(child, "SIGKILL");
      } catch {
        // It has ended already.
      }
    }
    await this.#child?.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#folder[Symbol.dispose]();
  }

  get #data(): string {
    return join(this.#folder.path, "data");
  }

  /** It has ended at once, since something of the last one was still there. */
  async #again(): Promise<void> {
    await Bun.sleep(100);
    await this.run();
  }

  async #answers(): Promise<boolean> {
    const sql = new SQL(this.url, { max: 1, connectionTimeout: 1 });
    try {
      await sql`SELECT 1`;
      return true;
    } catch {
      return false;
    } finally {
      await sql.close({ timeout: 0 });
    }
  }
}
