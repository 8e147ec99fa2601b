// A real Prometheus for tests: Debian's, on a port of its own, which scrapes one relay every second.
import { join } from "node:path";
import { Folder } from "../machine/folder";
import { freePort } from "../machine/free-port";
import { until } from "../wait";

interface QueryAnswer {
  readonly status: string;
  readonly error?: string;
  readonly data?: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}

export class Prometheus implements AsyncDisposable {
  readonly #url: string;
  readonly #child: Bun.Subprocess;
  readonly #folder: Folder;

  private constructor(url: string, child: Bun.Subprocess, folder: Folder) {
    this.#url = url;
    this.#child = child;
    this.#folder = folder;
  }

  /** Scrapes the metrics at an address such as http://127.0.0.1:9400/metrics as job "baton". */
  static async start(metrics: string, ruleFile: string): Promise<Prometheus> {
    const { host } = new URL(metrics);
    return Prometheus.startWith(`rule_files: [${JSON.stringify(ruleFile)}]
scrape_configs:
  - { job_name: baton, static_configs: [{ targets: [${JSON.stringify(host)}] }] }
`);
  }

  /** With a configuration that says nothing global. */
  static async startWith(config: string): Promise<Prometheus> {
    const folder = new Folder();
    const global = "global: { scrape_interval: 1s, evaluation_interval: 1s }";
    await Bun.write(join(folder.path, "prometheus.yml"), `${global}\n${config}`);
    const address = `127.0.0.1:${freePort()}`;
    const child = Bun.spawn(
      [
        "prometheus",
        `--config.file=${folder.path}/prometheus.yml`,
        `--storage.tsdb.path=${folder.path}/data`,
        `--web.listen-address=${address}`,
      ],
      { stdout: "ignore", stderr: "ignore" },
    );
    const prometheus = new Prometheus(`http://${address}`, child, folder);
    await until("Prometheus to be ready", () => prometheus.#isReady());
    return prometheus;
  }

  /** The values that a query has now. Throws where it is not a valid one. */
  async query(expression: string): Promise<number[]> {
    const body = new URLSearchParams({ query: expression });
    const response = await fetch(`${this.#url}/api/v1/query`, { method: "POST", body });
    const { status, error, data } = (await response.json()) as QueryAnswer;
    if (status !== "success") throw new Error(`${expression}: ${error}`);
    return (data?.result ?? []).map(({ value }) => Number(value[1]));
  }

  async #isReady(): Promise<boolean> {
    const response = await fetch(`${this.#url}/-/ready`).catch(() => undefined);
    return response?.status === 200;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    this.#folder[Symbol.dispose]();
  }
}
