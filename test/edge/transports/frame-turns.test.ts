// Frames that wait for later turns of the event loop: rows B7 and B8 of the fault catalogue.
import { describe, expect, test } from "bun:test";
import type { ServerWebSocket } from "bun";
import { FrameTurns } from "../../../src/edge/transports/frame-turns";
import type { Connection } from "../../../src/relay/state/connection";
import { until } from "../../support/wait";

type Socket = ServerWebSocket<Connection>;

/** Stands for a socket: only which one it is counts. */
const socketOf = (name: string): Socket => ({ name }) as unknown as Socket;

/** Frames that each take longer than all of a turn may. */
function harness(bytesMax = 1_000) {
  const seen: string[] = [];
  const overflown: Socket[] = [];
  const turns = new FrameTurns({
    bytesMax,
    receive(socket, frame) {
      seen.push(`${(socket as unknown as { name: string }).name}${frame}`);
      const end = performance.now() + 5;
      while (performance.now() < end);
    },
    overflow: (socket) => overflown.push(socket),
  });
  return { turns, seen, overflown };
}

/** Handles what may be handled in this turn, so that all further frames wait. */
function useUp(turns: FrameTurns, seen: string[]): number {
  for (let i = 0; i < 16; i++) turns.receive(socketOf("x"), "");
  return seen.length;
}

describe("B7: frames beyond the share of a turn", () => {
  test("are handled in later turns, those of each socket in their order", async () => {
    const { turns, seen } = harness();
    const done = useUp(turns, seen);
    const [a, b] = [socketOf("a"), socketOf("b")];
    for (const frame of ["1", "2", "3"]) turns.receive(a, frame);
    for (const frame of ["1", "2"]) turns.receive(b, frame);
    expect(seen).toHaveLength(done);
    await until("all frames", () => seen.length === done + 5);
    expect(seen.slice(done).filter((frame) => frame.startsWith("a"))).toEqual(["a1", "a2", "a3"]);
    expect(seen.slice(done).filter((frame) => frame.startsWith("b"))).toEqual(["b1", "b2"]);
    expect(seen.indexOf("b1")).toBeLessThan(seen.indexOf("a2"));
  });

  test("of a socket with frames that wait come behind them, also in a later turn", async () => {
    const { turns, seen } = harness();
    const done = useUp(turns, seen);
    const a = socketOf("a");
    const sent = Array.from({ length: 40 }, (_, i) => `${i},`);
    for (const frame of sent.slice(0, 30)) turns.receive(a, frame);
    await until("a first frame", () => seen.length > done);
    for (const frame of sent.slice(30)) turns.receive(a, frame);
    await until("all frames", () => seen.length === done + sent.length);
    expect(seen.slice(done)).toEqual(sent.map((frame) => `a${frame}`));
  });

  test("are dropped with their socket", async () => {
    const { turns, seen } = harness();
    const done = useUp(turns, seen);
    const [a, b] = [socketOf("a"), socketOf("b")];
    turns.receive(a, "1");
    turns.receive(b, "1");
    turns.closed(a);
    await until("the other socket's frame", () => seen.length === done + 1);
    expect(seen.at(-1)).toBe("b1");
  });
});

describe("B8: frames that wait", () => {
  test("are bounded in bytes, and one frame of any size may wait", () => {
    const { turns, seen, overflown } = harness(10);
    useUp(turns, seen);
    const [a, b] = [socketOf("a"), socketOf("b")];
    turns.receive(a, "x".repeat(11));
    turns.receive(b, "x".repeat(5));
    turns.receive(b, "x".repeat(5));
    expect(overflown).toEqual([]);
    turns.receive(b, "x");
    expect(overflown).toEqual([b]);
    turns.receive(a, "x");
    expect(overflown).toEqual([b, a]);
  });

  test("free their bytes as they are handled, however long the client goes on", async () => {
    const { turns, seen, overflown } = harness(3);
    let done = useUp(turns, seen);
    const a = socketOf("a");
    turns.receive(a, "0");
    for (let i = 1; i < 20; i++) {
      turns.receive(a, "1");
      done++;
      await until("the frame before", () => seen.length >= done);
    }
    expect(overflown).toEqual([]);
  });
});
