// Pages of a topic's history, as the backend and clients read them.
import { describe, expect, test } from "bun:test";
import { MemoryEngine } from "../../../src/engines/memory/engine";
import type { Refusal } from "../../../src/relay/contracts/errors";
import type { HistoryRequest, KeptPage } from "../../../src/relay/topics/history";
import { Simulation, unwrap } from "../../support/relay/simulation";

function historyOf(messages: readonly string[]) {
  const sim = new Simulation({}, [], (options) => {
    return new MemoryEngine({ ...options, historyBytes: 100_000_000 });
  });
  for (const message of messages) sim.relay.publisher.publish({ topic: "t", message });
  return (request: Partial<HistoryRequest>): KeptPage | Refusal =>
    sim.relay.backend.history("t", {
      limit: -1,
      limitMax: 1_000,
      reverse: false,
      ...request,
    }) as KeptPage | Refusal;
}

const offsetsIn = (page: KeptPage | Refusal) =>
  unwrap(page).publications.map(({ offset }) => offset);

describe("a page of history", () => {
  test("has at most about 4 MiB of messages, and the next page begins where it ends", () => {
    const read = historyOf(Array.from({ length: 100 }, () => "x".repeat(60_000)));
    const first = offsetsIn(read({}));
    expect(first.length).toBe(69);
    const second = offsetsIn(read({ since: first.at(-1) }));
    expect([...first, ...second]).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
  });

  test("has at least one message, however large", () => {
    const read = historyOf(["x".repeat(60_000)]);
    expect(offsetsIn(read({ limit: 1 }))).toEqual([1]);
  });

  test("has as many messages as are allowed if the limit is negative or too large", () => {
    const read = historyOf(["a", "b", "c"]);
    for (const limit of [-1, 3, 1_000]) {
      expect(offsetsIn(read({ limit, limitMax: 2 }))).toEqual([1, 2]);
    }
    expect(offsetsIn(read({ limit: 0 }))).toEqual([]);
  });

  test("is refused if the epoch is no longer that of the topic", () => {
    const read = historyOf(["a"]);
    expect(read({ epoch: "e1" })).toMatchObject({ top: { epoch: "e1", offset: 1 } });
    expect(read({ epoch: "other" })).toMatchObject({ code: "unrecoverable_position" });
  });
});
