// Real reverse proxies in front of a relay, each with the configuration that docs/proxies.md shows. Only addresses and ports
// are replaced in it.
import { chmodSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { example, ROOT } from "../docs/pages";
import { Folder } from "../machine/folder";
import { freePort } from "../machine/free-port";
import { until } from "../wait";

const PAGE = "docs/proxies.md";

/** Caddy and Envoy come from PyPI; Debian keeps servers in a folder that is not in everybody's PATH. */
const PATH = [join(ROOT, ".venv/bin"), process.env.PATH, "/usr/sbin"].join(delimiter);

interface Place {
  /** A folder for all files of the proxy. */
  readonly folder: string;
  /** The port that the proxy listens on. */
  readonly port: number;
  /** The path of the configuration of the page. */
  readonly file: string;
  /** A port for commands to the proxy. */
  readonly adminPort: number;
}

interface Kind {
  /** What the page says of the address to listen on, and what the test says. */
  readonly address?: readonly [string, (port: number) => string];
  /** The configuration around that of the page, which includes it as Debian's does; its name is main.conf. */
  readonly main?: (place: Place) => string;
  readonly start: (place: Place) => readonly string[];
  /** How it gets a new configuration: by a signal, by commands, or by a restart; Envoy as configured here cannot. */
  readonly reload?: NodeJS.Signals | "restart" | ((place: Place) => readonly (readonly string[])[]);
}

const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

const KINDS = {
  nginx: {
    address: ["listen 80;", (port) => `listen 127.0.0.1:${port};`],
    main: ({ folder, file }) => `
      user root; daemon off; pid ${folder}/pid; error_log stderr;
      events {}
      http {
        access_log off;
        ${TEMPORARY.map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")}
        include ${file};
      }`,
    start: ({ folder }) => ["nginx", "-e", "stderr", "-c", `${folder}/main.conf`],
    reload: "SIGHUP",
  },
  HAProxy: {
    address: ["bind :80", (port) => `bind 127.0.0.1:${port}`],
    start: ({ file }) => ["haproxy", "-W", "-f", file],
    reload: "SIGUSR2",
  },
  Caddy: {
    address: ["relay.example.com", (port) => `http://127.0.0.1:${port}`],
    start: ({ file }) => ["caddy", "run", "--config", file, "--adapter", "caddyfile"],
    reload: ({ file, adminPort }) => [
      ["caddy", "reload", "--force", "--config", file, "--adapter", "caddyfile"].concat([
        "--address",
        `127.0.0.1:${adminPort}`,
      ]),
    ],
  },
  Apache: {
    address: ["<VirtualHost *:80>", (port) => `<VirtualHost 127.0.0.1:${port}>`],
    main: ({ folder, file, port }) => `
      ServerRoot ${folder}
      ServerName 127.0.0.1
      Listen 127.0.0.1:${port}
      PidFile ${folder}/pid
      ErrorLog ${folder}/errors
      ${["mpm_event", "authz_core", "proxy", "proxy_http"]
        .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
        .join("\n")}
      Include ${file}`,
    start: ({ folder }) => ["apache2", "-D", "FOREGROUND", "-f", `${folder}/main.conf`],
    reload: "SIGUSR1",
  },
  lighttpd: {
    main: ({ folder, file, port }) => `
      server.document-root = "${folder}"
      server.bind = "127.0.0.1"
      server.port = ${port}
      include "${file}"`,
    start: ({ folder }) => ["lighttpd", "-D", "-f", `${folder}/main.conf`],
    reload: "restart",
  },
  Varnish: {
    start: ({ folder, file, port }) =>
      ["varnishd", "-F", "-n", `${folder}/work`].concat(["-a", `127.0.0.1:${port}`, "-f", file]),
    reload: ({ folder, file }) => {
      const admin = ["varnishadm", "-n", `${folder}/work`];
      return [
        [...admin, "vcl.load", "again", file],
        [...admin, "vcl.use", "again"],
      ];
    },
  },
  Envoy: {
    address: [
      "{ address: 0.0.0.0, port_value: 80 }",
      (port) => `{ address: 127.0.0.1, port_value: ${port} }`,
    ],
    start: ({ file }) => ["envoy", "--disable-hot-restart", "--concurrency", "1", "-c", file],
  },
} satisfies Record<string, Kind>;

export type ProxyName = keyof typeof KINDS;

/** Whether it can get a new configuration while it runs. */
export function isReloadable(name: ProxyName): boolean {
  return "reload" in KINDS[name];
}

export class ReverseProxy implements AsyncDisposable {
  readonly #kind: Kind;
  readonly #folder = new Folder();
  readonly #place: Place;
  #child: Bun.Subprocess;
  #errors = "";

  private constructor(name: ProxyName, configuration: string) {
    this.#kind = KINDS[name];
    const folder = this.#folder.path;
    // Envoy looks at the ending, and nobody else does.
    const file = `${folder}/configuration.yaml`;
    this.#place = { folder, file, port: freePort(), adminPort: freePort() };
    const { address, main } = this.#kind;
    chmodSync(folder, 0o755); // some read their files as another user
    const text = address && configuration.replace(address[0], address[1](this.#place.port));
    writeFileSync(file, text ?? configuration);
    if (main !== undefined) writeFileSync(`${folder}/main.conf`, main(this.#place));
    this.#child = this.#spawn();
  }

  #spawn(): Bun.Subprocess {
    const child = Bun.spawn([...this.#kind.start(this.#place)], {
      ...this.#options,
      detached: true,
    });
    new Response(child.stderr).text().then((errors) => {
      this.#errors = errors;
    });
    return child;
  }

  /** With the configuration of this name on the page. Resolves when the relay's health can be asked through it. */
  static start(name: ProxyName, configuration: string, relayPort: number): Promise<ReverseProxy> {
    return ReverseProxy.with(name, example(PAGE, configuration).replaceAll("8000", `${relayPort}`));
  }

  /** With this configuration, whose addresses of relays are those that there are. */
  static async with(name: ProxyName, configuration: string): Promise<ReverseProxy> {
    const proxy = new ReverseProxy(name, configuration);
    const isHealthy = async () => {
      if (proxy.#child.exitCode !== null) {
        throw new Error(`${name} ended: ${proxy.#errors}`);
      }
      return (await fetch(`${proxy.url}/health`).catch(() => undefined))?.status === 200;
    };
    await until(`${name} to serve`, isHealthy);
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#place.port}`;
  }

  /** Makes it read its configuration again, as an administrator does. */
  async reload(): Promise<void> {
    const { reload } = this.#kind;
    if (reload === undefined) throw new Error("it cannot read its configuration again");
    if (reload === "restart") {
      await this.#kill();
      this.#child = this.#spawn();
      return;
    }
    if (typeof reload === "string") {
      this.#child.kill(reload);
      return;
    }
    for (const command of reload(this.#place)) {
      const child = Bun.spawn([...command], this.#options);
      const errors = await new Response(child.stderr as ReadableStream).text();
      if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${errors}`);
    }
  }

  get #options() {
    const { folder, adminPort } = this.#place;
    const env = { PATH, HOME: folder, CADDY_ADMIN: `127.0.0.1:${adminPort}` };
    return { env, stdin: "ignore", stdout: "ignore", stderr: "pipe" } as const;
  }

  /** With its children: some of them would go on until their last connection ends. */
  #kill(): Promise<number> {
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kill();
    this.#folder[Symbol.dispose]();
  }
}
