// What the bench starts: it ends with the bench, and has ports that nobody else has.
import { expect, spyOn, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../bench/run/free-ports";
import { childrenOf } from "../support/machine/processes";
import { until } from "../support/wait";

const MAIN = join(import.meta.dir, "../../bench/main.ts");

async function descendantsOf(pid: number): Promise<number[]> {
  const children = await childrenOf(pid).catch(() => []);
  return [...children, ...(await Promise.all(children.map(descendantsOf))).flat()];
}

function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}

/** A zombie has ended too, though nobody has asked for its exit code. */
const hasEnded = (pid: number) => /^$|\) Z /.test(read(pid, "stat"));

const isWorker = (pid: number) => read(pid, "cmdline").includes("main.ts\0worker\0");

test.each(["SIGKILL", "SIGINT"] as const)(
  "a bench that %s ends leaves nothing running, neither the servers that are just starting nor their workers",
  async (signal) => {
    const command = ["bun", MAIN, "--quick", "--only", "workers", "--targets", "baton"];
    const bench = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    let started: number[] = [];
    await until("a worker", async () => {
      started = await descendantsOf(bench.pid);
      return started.some(isWorker);
    });
    bench.kill(signal);
    await bench.exited;
    await until("the end of all that it has started", () => started.every(hasEnded));
  },
);

test("ports of servers are not given twice, and where none is free that is said", () => {
  const first = freePorts(3);
  const second = freePorts(3);
  expect(Math.abs(first - second)).toBeGreaterThanOrEqual(3);
  using _listen = spyOn(Bun, "listen").mockImplementation(() => {
    throw new Error("the port is taken");
  });
  expect(() => freePorts(2)).toThrow("no 2 free ports in a row from 30000 to 32767: end what");
});
