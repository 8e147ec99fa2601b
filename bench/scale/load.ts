// The load processes of the scale run, used as one: requests go to all of them, their states are added up.
import { join } from "node:path";
import { showTimedNote } from "../report/progress";
import { startChild } from "../run/child-processes";
import type { ClientRange, ClientState, ScaleRequest } from "./messages";

class LoadProcess {
  state: ClientState = {
    ...{ registered: 0, open: 0, received: 0, resumed: 0, retried: 0, awayMaxMs: 0, faults: [] },
  };
  readonly #child;

  constructor(onFault: (fault: string) => void) {
    this.#child = startChild(["bun", join(import.meta.dir, "process.ts")], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
      ipc: (state: ClientState) => {
        this.state = state;
        for (const fault of state.faults) onFault(fault);
      },
    });
  }

  send(request: ScaleRequest): void {
    this.#child.send(request);
  }
}

export class ScaleLoad {
  /** Every different fault, once. */
  readonly faults = new Set<string>();
  readonly #processes: readonly LoadProcess[];

  constructor(count: number) {
    const onFault = (fault: string) => {
      if (!this.faults.has(fault)) showTimedNote(`fault: ${fault}`);
      this.faults.add(fault);
    };
    this.#processes = Array.from({ length: count }, () => new LoadProcess(onFault));
  }

  /** Registers the connections, an equal share in each process, each with addresses of its own to connect to. */
  register(connections: number, port: number, handshakesMax: number): void {
    const share = Math.ceil(connections / this.#processes.length);
    let first = 0;
    for (const [i, process] of this.#processes.entries()) {
      const count = Math.min(share, connections - first);
      const hosts = [`127.0.${i + 1}.2`, `127.0.${i + 1}.3`];
      const range: ClientRange = { hosts, port, firstUser: first + 1, count, handshakesMax };
      process.send({ kind: "register", range });
      first += count;
    }
  }

  connect(): void {
    for (const process of this.#processes) process.send({ kind: "connect" });
  }

  /** A count of all processes together. */
  sum(part: "registered" | "open" | "received" | "resumed" | "retried"): number {
    return this.#processes.reduce((total, { state }) => total + state[part], 0);
  }

  /** The longest time that any connection was lost, in ms. */
  awayMaxMs(): number {
    return Math.max(...this.#processes.map(({ state }) => state.awayMaxMs));
  }
}
