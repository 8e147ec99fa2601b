// How a source is read: in turn, on one node, and no further than the engine takes. Readers and engine are scripted here; real ones are in
// test/slow/sources/.
import { describe, expect, test } from "bun:test";
import { createLog } from "../../src/log";
import { EngineUnavailable } from "../../src/relay/contracts/engine";
import { Refusal } from "../../src/relay/contracts/errors";
import type { SourceRecord } from "../../src/relay/contracts/store";
import type { DeadRecord, InboundRecord, Reader } from "../../src/sources/contract";
import { Runner } from "../../src/sources/runner";
import { RecordShape } from "../../src/sources/shapes/record-shape";
import { until } from "../support/wait";

/** A source of batches, which says what was done with it. */
class ScriptedSource {
  readonly batches: InboundRecord[][] = [];
  readonly dead: DeadRecord[] = [];
  readonly steps: string[] = [];
  /** How often it cannot be opened from now on. */
  failures = 0;
  opened = 0;
  /** What happens at each read. */
  onRead = () => {};

  async open(): Promise<Reader> {
    if (this.failures > 0) {
      this.failures--;
      throw new Error("the server is away");
    }
    this.opened++;
    let closed = false;
    let given: InboundRecord[] | undefined;
    return {
      read: async () => {
        if (closed) throw new Error("closed");
        this.onRead();
        given = this.batches[0];
        if (given !== undefined) this.steps.push("read");
        else await Bun.sleep(1);
        return given ?? [];
      },
      acknowledge: async (dead) => {
        this.steps.push("acknowledge");
        this.dead.push(...dead);
        this.batches.shift();
      },
      lag: async () => this.batches.length,
      close: async () => {
        closed = true;
      },
    };
  }
}

function run(source: ScriptedSource, own: Partial<ConstructorParameters<typeof Runner>[0]> = {}) {
  const published: { partition: string; records: readonly SourceRecord[] }[] = [];
  const runner = new Runner({
    kind: { options: undefined as never, open: () => source.open() },
    options: {},
    context: {
      name: "s",
      bodyBytesMax: 1_000,
      warn() {},
      lost() {},
      lastPosition: async () => undefined,
      donePosition: async () => undefined,
      keepDone: async () => {},
    },
    leadership: { check: async () => true, resign() {} },
    mapping: new RecordShape({
      texts: undefined,
      tombstones: "bury",
      kind: "body",
      bodyBytesMax: 1e3,
    }),
    topics: undefined,
    check: ({ topic, message = "" }) =>
      topic === "bad" ? new Refusal("invalid_topic", "bad") : { topic, data: message },
    publish: async (partition, records) => {
      source.steps.push("publish");
      published.push({ partition, records });
      return { published: records.length, repeated: 0 };
    },
    log: createLog("silent"),
    ...own,
  });
  return { runner, published };
}

const record = (n: number, topic = "t", partition = ""): InboundRecord => ({
  partition,
  position: String(n).padStart(10, "0"),
  body: JSON.stringify({ topic, message: String(n) }),
});

describe("a source", () => {
  test("is read, published and acknowledged in turn, each partition in its order", async () => {
    const source = new ScriptedSource();
    source.batches.push([record(1), record(1, "t", "b"), record(2)], [record(3)]);
    const { runner, published } = run(source);
    runner.start();
    await until("both batches", () => source.batches.length === 0);
    await runner.stop();
    expect(source.steps).toEqual(
      ["read", "publish", "publish", "acknowledge", "read", "publish", "acknowledge"], //
    );
    expect(published.map(({ partition, records }) => [partition, records.length])).toEqual([
      ["s/", 2],
      ["s/b", 1],
      ["s/", 1],
    ]);
    expect(published[0]?.records[1]).toEqual({
      publication: { topic: "t", data: "2" },
      position: "00000000020000",
    });
    expect(runner.tally).toMatchObject({ read: 4, published: 4, dead: 0 });
  });

  test("buries what cannot be published, with the reason, and goes on behind it", async () => {
    const source = new ScriptedSource();
    const poison = { partition: "", position: "0000000002", body: "{" };
    source.batches.push([record(1), poison, record(3, "bad"), record(4)]);
    const { runner, published } = run(source);
    runner.start();
    await until("the batch", () => source.batches.length === 0);
    await runner.stop();
    expect(source.dead.map(({ reason }) => reason.code)).toEqual([
      "malformed_json",
      "invalid_topic",
    ]);
    expect(published[0]?.records.map(({ publication }) => publication.data)).toEqual(["1", "4"]);
    expect(runner.tally.dead).toBe(2);
  });

  test("may publish only to the topics that the file lists", async () => {
    const source = new ScriptedSource();
    source.batches.push([record(1, "orders:1"), record(2, "users:1")]);
    const { runner, published } = run(source, { topics: ["orders:"] });
    runner.start();
    await until("the batch", () => source.batches.length === 0);
    await runner.stop();
    expect(source.dead.map(({ reason }) => reason.code)).toEqual(["permission_denied"]);
    expect(published[0]?.records).toHaveLength(1);
  });

  test("is not read further while the engine is away, and its batch is published when that is back", async () => {
    const source = new ScriptedSource();
    source.batches.push([record(1)], [record(2)]);
    let isAway = true;
    const { runner } = run(source, {
      publish: async (_, records) => {
        source.steps.push(isAway ? "refused" : "publish");
        if (isAway) throw new EngineUnavailable("away");
        return { published: records.length, repeated: 0 };
      },
    });
    runner.start();
    await until("two attempts", () => source.steps.length >= 3);
    expect(source.steps.slice(0, 3)).toEqual(["read", "refused", "refused"]);
    expect(runner.tally.state).toBe("held");
    isAway = false;
    await until("both batches", () => source.batches.length === 0);
    await runner.stop();
    expect(source.opened).toBe(1);
    expect(source.steps.filter((step) => step === "publish")).toHaveLength(2);
  });

  test("that is down is opened again after pauses, and is back when it can be read", async () => {
    const source = new ScriptedSource();
    source.failures = 1;
    source.batches.push([record(1)]);
    const { runner } = run(source);
    const states: string[] = [];
    source.onRead = () => {
      states.push(runner.tally.state);
      if (states.length === 1) throw new Error("the table is locked");
    };
    runner.start();
    await until("a failure", () => runner.tally.state === "down");
    expect(runner.tally.failure).toBe("the server is away");
    await until("the batch", () => source.batches.length === 0);
    expect(states.slice(0, 2)).toEqual(["down", "down"]);
    expect(runner.tally.state).toBe("reading");
    await runner.stop();
  });

  test("whose server this node cannot reach is left to other nodes after three failures", async () => {
    const source = new ScriptedSource();
    source.failures = 1_000;
    let resigned = 0;
    const leadership = {
      check: async () => true,
      resign() {
        resigned++;
      },
    };
    const { runner } = run(source, { leadership });
    runner.start();
    await until("the end of its leadership", () => resigned > 0);
    expect(1_000 - source.failures).toBe(3);
    await runner.stop();
  });

  test("is not opened while another node reads it", async () => {
    const source = new ScriptedSource();
    source.batches.push([record(1)]);
    let asked = 0;
    const { runner } = run(source, {
      leadership: {
        check: async () => {
          asked++;
          return false;
        },
        resign() {},
      },
    });
    runner.start();
    await until("an answer", () => asked > 0);
    await runner.stop();
    expect(source.opened).toBe(0);
    expect(runner.tally.state).toBe("waiting");
  });

  test("broadcasts a record under one position, each publication with its place", async () => {
    const source = new ScriptedSource();
    const body =
      '{"method":"broadcast","payload":{"channels":["a","b","c"],"data":{},"idempotency_key":"k"}}';
    source.batches.push([{ partition: "0", position: "7", body }]);
    const { runner, published } = run(source);
    runner.start();
    await until("the batch", () => source.batches.length === 0);
    await runner.stop();
    expect(published[0]?.records.map(({ position }) => position)).toEqual([
      "70000",
      "70001",
      "70002",
    ]);
  });

  test("of no positions is published under the keys of its records", async () => {
    const source = new ScriptedSource();
    const body = '{"topic":"t","message":"m"}';
    source.batches.push([
      { partition: "", key: "id-1", body },
      { partition: "", key: "id-2", body: '{"topic":"t","message":"m","idempotency_key":"own"}' },
    ]);
    const { runner, published } = run(source);
    runner.start();
    await until("the batch", () => source.batches.length === 0);
    await runner.stop();
    expect(published[0]?.records.map(({ key, position }) => [key, position])).toEqual([
      ["id-1", undefined],
      ["own", undefined],
    ]);
  });
});
